from __future__ import annotations

import inspect
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from tiny_stylegan import drawn_pairs, tiny_stylegan
from torch import Tensor

from oneshot_sketch import InputError
from oneshot_sketch.learners.stylesketch import StyleSketchLearner
from oneshot_sketch.learners.stylesketch_config import StyleSketchLearnerConfig
from oneshot_sketch.models.inversion import InversionConfig, invert
from oneshot_sketch.models.latent_directions import semantic_directions
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pipelines.stylesketch import StyleSketchPipeline

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pipe() -> StyleSketchPipeline:
    """On the noise of a StyleGAN that has some; its sketches follow the face's brightness."""
    stylegan = tiny_stylegan()
    for name, strength in stylegan.named_parameters():
        if name.endswith("noise_strength"):
            strength.data.fill_(0.1)
    pairs, ws = drawn_pairs(stylegan, 4)
    config = StyleSketchLearnerConfig(
        steps=30, stage_one=1.0, learning_rate=5e-3, adversarial_weight=0, clip_weight=0, perceptual_weight=0, part_weight=0
    )
    pipe = StyleSketchPipeline(stylegan, StyleSketchLearner(stylegan, config).learn(pairs, ws, progress=False).generator)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def ws(pipe: StyleSketchPipeline) -> Tensor:
    return drawn_pairs(pipe.stylegan, 3)[1]


def pictures(pipe: StyleSketchPipeline, **arguments: Any) -> Tensor:
    return pipe(output_type="pt", **arguments).images


def test_latents_are_drawn_each_on_its_own(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    output = pipe(latents=ws)
    assert [image.size for image in output.images] == [(32, 32)] * 3
    assert [image.mode for image in output.images] == ["RGB"] * 3
    assert output.inversion_error is None
    assert torch.equal(pictures(pipe, latents=ws)[1:2], pictures(pipe, latents=ws[1:2]))
    assert np.array_equal(np.asarray(output.images[0]), np.asarray(pipe(latents=ws).images[0])), "noise is constant"
    array = pipe(latents=ws, output_type="np").images
    assert array.shape == (3, 32, 32, 1)
    assert 0 <= array.min() < array.max() <= 1


def test_photos_are_inverted_and_the_error_is_told(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    def invert(stylegan: StyleGAN2Generator, photos: Tensor) -> SimpleNamespace:
        assert stylegan is pipe.stylegan
        assert photos.shape == (2, 3, 32, 32)
        assert photos.min() >= -1
        assert torch.is_grad_enabled()
        return SimpleNamespace(ws=ws[:2], error=torch.tensor([0.1, 0.2]))

    output = pipe([picture(40, 40, 1), picture(60, 48, 2)], invert=invert, output_type="pt")
    assert torch.equal(output.images, pictures(pipe, latents=ws[:2]))
    assert output.inversion_error.tolist() == pytest.approx([0.1, 0.2])
    images, error = pipe([picture(40, 40, 1), picture(60, 48, 2)], invert=invert, return_dict=False)
    assert len(images) == len(error) == 2


def test_without_more_photos_are_found_by_optimisation(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    face = pipe(latents=ws[:1]).faces[0]
    errors = [pipe(face, invert=partial(invert, config=InversionConfig(steps=n))).inversion_error[0] for n in (0, 10)]
    assert 0 < errors[1] < errors[0]
    assert inspect.signature(StyleSketchPipeline.__call__).parameters["invert"].default is invert


def test_an_edit_moves_the_sketch_along_it_and_nothing_else(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    """No edit, no change, to the bit; a small one acts linearly, back and forth; layers before it are untouched."""
    still = pipe(latents=ws, output_type="pt")
    direction = semantic_directions(pipe.stylegan, 1, layers=(3, 6))[0]
    assert torch.equal(still.images, pictures(pipe, latents=ws, edit=direction, edit_scale=0.0))
    step = {scale: pictures(pipe, latents=ws, edit=direction, edit_scale=scale) - still.images for scale in (-0.02, 0.02, 0.04)}
    forth, back, twice = (step[scale].flatten() for scale in (0.02, -0.02, 0.04))
    assert forth.abs().max() > 1e-4, "it moves"
    assert torch.cosine_similarity(forth, -back, dim=0) > 0.9
    assert torch.cosine_similarity(forth, twice, dim=0) > 0.9
    assert 1.5 < twice.norm() / forth.norm() < 2.5
    one = pipe(latents=ws, edit=direction, edit_scale=[0.0, 0.5, 0.0], output_type="pt")
    assert torch.equal(one.images[[0, 2]], still.images[[0, 2]]), "the others stay"
    assert not torch.equal(one.images[1], still.images[1])
    assert torch.equal(one.latents[:, :3], ws[:, :3])
    before, after = (pipe.stylegan.synthesize(latents[1:2]).features for latents in (ws, one.latents))
    assert all(torch.equal(a, b) for a, b in zip(before[:3], after[:3], strict=True)), "coarse maps, and so the head's pose, stay"
    assert not torch.equal(before[3], after[3])


def test_edits_agree_with_the_slope(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    """What changes is what the derivative along the edit says, and beyond it nothing but rounding."""
    direction = semantic_directions(pipe.stylegan, 1)[0]
    _, slope = torch.func.jvp(lambda w: pipe.draw(w)[1], (ws[:1],), (direction[None],))
    forth, back = (pipe.draw(ws[:1] + way * 0.01 * direction)[1] for way in (1, -1))
    difference = (forth - back) / 0.02
    assert (difference - slope).norm() < 0.1 * slope.norm()


def test_a_face_is_found_from_its_sketch(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    wanted = pipe(latents=ws[:1]).images[0]
    start = pipe.face_from_sketch(wanted, num_inference_steps=1, learning_rate=1e-9)
    found = pipe.face_from_sketch(wanted, num_inference_steps=40, norm_weight=0.0)
    assert found.inversion_error[0] < 0.6 * start.inversion_error[0]
    assert [face.size for face in found.faces] == [(32, 32)]
    near = pipe.face_from_sketch(wanted, num_inference_steps=40, norm_weight=10.0)
    apart = [(output.latents - pipe.stylegan.w_avg).norm() for output in (near, found)]
    assert apart[0] < 0.7 * apart[1], "the norm holds w back"
    again = pipe.face_from_sketch([wanted, picture(40, 40)], num_inference_steps=40, norm_weight=0.0)
    assert torch.equal(again.latents[:1], found.latents), "neighbours change nothing"


def test_a_perceptual_term_is_followed(pipe: StyleSketchPipeline, ws: Tensor) -> None:
    def darkness(drawn: Tensor, wanted: Tensor) -> Tensor:
        assert drawn.shape == wanted.shape == (1, 3, 32, 32)
        return (drawn + 1).abs().mean()

    wanted = pipe(latents=ws[:1]).images[0]
    given: dict[str, Any] = {"num_inference_steps": 20, "output_type": "pt"}
    dark = pipe.face_from_sketch(wanted, perceptual=darkness, perceptual_weight=100.0, **given).images.mean()
    assert dark < pipe.face_from_sketch(wanted, **given).images.mean() - 0.01


def test_saved_and_loaded_it_draws_the_same(pipe: StyleSketchPipeline, ws: Tensor, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["sketch_generator"] == ["oneshot_sketch.models.stylesketch", "StyleSketchGenerator"]
    loaded = StyleSketchPipeline.from_pretrained(tmp_path)
    assert torch.equal(pictures(loaded, latents=ws), pictures(pipe, latents=ws))


def test_in_half_the_precision_it_draws_nearly_the_same(pipe: StyleSketchPipeline, ws: Tensor, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    half = StyleSketchPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.sketch_generator.dtype == torch.bfloat16
    apart = (pictures(half, latents=ws) - pictures(pipe, latents=ws)).abs()
    assert 0 < apart.mean() < 0.03


def test_two_that_do_not_belong_together_are_refused(pipe: StyleSketchPipeline) -> None:
    with pytest.raises(InputError, match="another StyleGAN"):
        StyleSketchPipeline(tiny_stylegan(seed=1), pipe.sketch_generator)
    with pytest.raises(InputError, match="32 pixels"):
        StyleSketchPipeline(tiny_stylegan(64), pipe.sketch_generator)
    anything = StyleSketchGenerator(32, 512, 32)
    assert StyleSketchPipeline(tiny_stylegan(seed=1), anything).sketch_generator is anything


def test_unusable_input_is_one_sentence(pipe: StyleSketchPipeline, ws: Tensor, tmp_path: Path) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("not both", {}),
        ("not both", {"image": picture(), "latents": ws}),
        ("no picture", {"image": [], "invert": lambda *_: None}),
        ("latents are", {"latents": ws[:, :2]}),
        ("latents are", {"latents": ws * float("inf")}),
        ("direction is", {"latents": ws, "edit": torch.ones(3)}),
        ("one amount", {"latents": ws, "edit": torch.ones(16), "edit_scale": [1.0, 2.0]}),
        ("output_type is", {"latents": ws, "output_type": "jpeg"}),
    ]
    for sentence, arguments in wrong:
        with pytest.raises(InputError, match=sentence):
            pipe(**arguments)
    with pytest.raises(InputError, match="could not be loaded"):
        StyleSketchPipeline.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="num_inference_steps is 0"):
        pipe.face_from_sketch(picture(), num_inference_steps=0)
    with pytest.raises(InputError, match="2 sketches"):
        pipe.face_from_sketch([picture(), picture()], latents=ws)
