from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_stylegan import drawn_face, tiny_stylegan
from torch import Tensor, nn

from oneshot_sketch import InputError
from oneshot_sketch.images import to_tensor
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.picture_that_sketch import SketchMapper
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline

pytestmark = pytest.mark.usefixtures("one_thread")

SKETCHES = [drawn_face(i, 40) for i in range(3)]


@pytest.fixture(scope="module")
def pipe() -> PictureThatSketchPipeline:
    """Random networks whose faces follow sketch and tail visibly."""
    generator = tiny_stylegan()
    mapper = SketchMapper(8, 16, 6, "small", 32, (8, 8, 16), 1, hidden=16)
    nn.init.normal_(mapper.offset.weight)
    teacher = InversionEncoder(8, 16, "small", 32, (4, 4, 4, 4), (1, 1, 1, 1), 8)
    nn.init.normal_(teacher.head[-1].weight)  # type: ignore[arg-type]
    return PictureThatSketchPipeline(generator, mapper, teacher)


def pictures(pipe: PictureThatSketchPipeline, *given: Any, **more: Any) -> Tensor:
    return pipe(*given, output_type="pt", **more).images


def test_photos_of_each_sketch_stand_next_to_each_other(pipe: PictureThatSketchPipeline) -> None:
    output = pipe(SKETCHES, num_images=2)
    assert [image.size for image in output.images] == [(32, 32)] * 6 and output.images[0].mode == "RGB"
    assert output.latents.shape == (6, 8, 16)
    heads, tails = output.latents[:, :6], output.latents[:, 6:]
    assert torch.equal(heads[0], heads[1]) and not torch.allclose(heads[0], heads[2], atol=1e-3)
    assert torch.equal(tails[0], tails[2]) and not torch.allclose(tails[0], tails[1], atol=1e-3)
    assert not np.array_equal(np.asarray(output.images[0]), np.asarray(output.images[1])), "appearances differ"


def test_the_same_seed_gives_the_same_bytes_and_neighbours_never_matter(pipe: PictureThatSketchPipeline) -> None:
    several = pictures(pipe, SKETCHES, num_images=2)
    assert torch.equal(several, pictures(pipe, SKETCHES, num_images=2))
    assert torch.equal(several[2:4], pictures(pipe, SKETCHES[1], num_images=2))
    assert torch.equal(several[::2], pictures(pipe, SKETCHES, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(several, pictures(pipe, SKETCHES, num_images=2, seed=1))


def test_fewer_latents_leave_more_to_the_tail(pipe: PictureThatSketchPipeline) -> None:
    whole = pipe(SKETCHES[0]).latents
    for count in (1, 3, 6):
        ws = pipe(SKETCHES[0], num_latents=count).latents
        assert torch.equal(ws[:, :count], whole[:, :count])
        assert torch.equal(ws[0, count:], whole[0, -1:].expand(8 - count, -1)), "one w for the whole tail"
    assert torch.equal(pipe(SKETCHES[0], 6).latents, whole)


def test_a_reference_lends_its_fine_latents(pipe: PictureThatSketchPipeline) -> None:
    reference = Image.effect_noise((48, 48), 80).convert("RGB")
    assert pipe.teacher is not None
    wanted = pipe.teacher(to_tensor(reference.resize((32, 32), Image.Resampling.LANCZOS)))
    plain, lent = pipe(SKETCHES[0]), pipe(SKETCHES[:2], reference=reference, num_images=2)
    assert torch.equal(lent.latents[0, :6], plain.latents[0, :6])
    assert torch.allclose(lent.latents[:, 6:], wanted[:, 6:].expand(4, -1, -1), atol=1e-5)
    assert torch.equal(lent.latents[0], lent.latents[1])
    with pytest.raises(InputError, match="needs a teacher"):
        PictureThatSketchPipeline(pipe.generator, pipe.mapper)(SKETCHES[0], reference=reference)


def test_truncation_draws_the_tail_to_the_mean(pipe: PictureThatSketchPipeline) -> None:
    mean = pipe.generator.w_avg
    full, half, none = (pipe(SKETCHES[0], truncation=psi).latents[0, -1] for psi in (1.0, 0.5, 0.0))
    assert torch.allclose(none, mean, atol=1e-6) and torch.allclose(half, (full + mean) / 2, atol=1e-5)


def test_kinds_of_output(pipe: PictureThatSketchPipeline) -> None:
    tensor, array = pictures(pipe, SKETCHES[0]), pipe(SKETCHES[0], output_type="np").images
    assert tensor.shape == (1, 3, 32, 32) and array.shape == (1, 32, 32, 3) and tensor.min() >= 0 and tensor.max() <= 1
    images, ws = pipe(SKETCHES[0], return_dict=False)
    assert np.allclose(np.asarray(images[0]) / 255, array[0], atol=0.003) and ws.shape == (1, 8, 16)


@pytest.mark.parametrize("with_teacher", [True, False])
def test_saved_and_loaded_it_draws_the_same(pipe: PictureThatSketchPipeline, tmp_path: Path, with_teacher: bool) -> None:
    saved = PictureThatSketchPipeline(pipe.generator, pipe.mapper, pipe.teacher if with_teacher else None)
    saved.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    loaded = PictureThatSketchPipeline.from_pretrained(tmp_path)
    assert (loaded.teacher is not None) is with_teacher
    assert torch.allclose(pictures(loaded, SKETCHES), pictures(pipe, SKETCHES), atol=1e-5)


def test_networks_that_do_not_belong_together_are_refused(pipe: PictureThatSketchPipeline) -> None:
    with pytest.raises(InputError, match=r"the mapper is of a generator with ws \(8, 16\), this one has \(6, 16\)"):
        PictureThatSketchPipeline(tiny_stylegan(16), pipe.mapper)
    with pytest.raises(InputError, match="the teacher is of"):
        PictureThatSketchPipeline(pipe.generator, pipe.mapper, InversionEncoder(6, 16, "small", 32, (4,) * 4, (1,) * 4, 8))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"num_latents": 0}, "this mapper predicts 1 to 6"),
        ({"num_latents": 7}, "this mapper predicts 1 to 6"),
        ({"num_images": 0}, "num_images is 0"),
        ({"truncation": -1.0}, "truncation -1.0"),
        ({"output_type": "jpg"}, "'jpg'"),
        ({"sketch": []}, "no sketch"),
        ({"reference": [SKETCHES[0], SKETCHES[1]]}, "2 references"),
    ],
)
def test_unusable_arguments_are_one_sentence(pipe: PictureThatSketchPipeline, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(**{"sketch": SKETCHES[0], **more})


def test_something_else_on_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be loaded as a Picture that Sketch pipeline"):
        PictureThatSketchPipeline.from_pretrained(tmp_path)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "Other"}))
    with pytest.raises(InputError, match="could not be loaded"):
        PictureThatSketchPipeline.from_pretrained(tmp_path)


def test_one_photo_is_quick() -> None:
    """Networks of the embedded generator's size; seconds of the processor, which neighbours on the machine do not stretch."""
    generator = StyleGAN2Generator(64, 128, 256, 4, channel_base=48 * 64, channel_max=160)
    pipe = PictureThatSketchPipeline(generator, SketchMapper(10, 256, 7, "small", 64, hidden=256, pooled=4))
    pipe(SKETCHES[0])
    start = time.process_time()
    pipe(SKETCHES[1])
    assert time.process_time() - start < 1
