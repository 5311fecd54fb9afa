"""The way back from sketch to photo that ships with the package, on faces its generator invents."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from oneshot_sketch.images import to_pil, to_tensor
from oneshot_sketch.learners.picture_that_sketch_data import PseudoPairs
from oneshot_sketch.models.picture_that_sketch import filled
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pipelines.picture_that_sketch import MINI, PictureThatSketchPipeline

PHOTOS = sorted((Path(__file__).parents[1] / "assets/quickstart/photos").glob("portrait_*.jpg"))[:1]
UNSEEN, COUNT = 1_000_003, 12


@cache
def mini() -> PictureThatSketchPipeline:
    return PictureThatSketchPipeline.from_pretrained("mini")


@cache
def faces() -> tuple[Tensor, Tensor, Tensor]:
    """Photos, sketches and latents of faces that no mapper learned from."""
    sketcher = StyleSketchGenerator.from_pretrained(MINI["generator"].parent / "sketch_generator").float().eval()
    pairs = PseudoPairs(mini().generator, sketcher, COUNT, UNSEEN)
    made = [pairs[i] for i in range(COUNT)]
    photos, sketches, ws = (torch.stack(part) for part in zip(*made, strict=True))
    return photos, sketches, ws


def test_it_is_small_and_holds_nothing_that_could_run() -> None:
    files = [file for file in MINI["mapper"].iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 20 * 2**20
    assert {file.suffix for file in files} == {".safetensors", ".json"}


def test_the_latents_it_reads_are_nearer_to_a_faces_own_than_to_anothers() -> None:
    _, sketches, ws = faces()
    with torch.no_grad():
        read = mini().mapper(sketches)
    wanted = ws[:, : read.shape[1]]
    apart = (read[:, None] - wanted[None]).square().mean((2, 3))
    mean = (mini().generator.w_avg - wanted).square().mean((1, 2))
    assert apart.diagonal().mean() < 0.8 * mean.mean()
    assert (apart.argmin(1) == torch.arange(COUNT)).float().mean() >= 0.5, "chance is a twelfth"


def test_photos_come_nearer_to_the_truth_than_the_mean_face_of_the_same_colours() -> None:
    photos, sketches, ws = faces()
    pipe = mini()
    with torch.no_grad():
        drawn = pipe.generator.synthesize(filled(pipe.mapper(sketches), ws)).image
        count = pipe.mapper.config["max_predicted"]
        mean = pipe.generator.synthesize(filled(pipe.generator.w_avg.expand(COUNT, count, -1), ws)).image
    errors, others = ((images.clamp(-1, 1) - photos).square().mean((1, 2, 3)) for images in (drawn, mean))
    assert errors.mean() < 0.7 * others.mean()


def test_the_same_seed_gives_the_same_bytes_and_a_reference_lends_its_colours() -> None:
    sketch = to_pil(faces()[1][:1])[0]
    first, again = (to_tensor(mini()(sketch, num_images=2).images) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (2, 3, 64, 64)
    reference = Image.open(PHOTOS[0])
    lent = to_tensor(mini()(sketch, reference=reference).images)
    assert not torch.equal(lent[0], first[0])


def test_an_own_mapper_may_take_the_embedded_ones_place() -> None:
    own = PictureThatSketchPipeline.from_pretrained("mini", mapper=mini().mapper, dtype=torch.float32)
    assert own.mapper is mini().mapper and own.generator is not mini().generator
