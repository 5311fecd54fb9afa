"""The sketch prior that ships with the package, on the bundled photos."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image

from oneshot_sketch import OneShotSketchPipeline, sketch_prior
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_tensor
from oneshot_sketch.sketch_prior import PriorSketch, SketchPrior

PHOTOS = sorted((Path(__file__).parents[1] / "assets/quickstart/photos").glob("portrait_*.jpg"))[:2]
SIZE = (96, 96)


@cache
def mini() -> SketchPrior:
    return SketchPrior.from_pretrained("mini")


@cache
def drawn(path: Path) -> PriorSketch:
    return mini().sketch(Image.open(path), SIZE)


def test_it_is_small_and_holds_nothing_that_could_run() -> None:
    files = [file for file in sketch_prior.MINI.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 40 * 2**20
    assert {file.suffix for file in files} == {".safetensors", ".json", ".md"}


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_a_face_is_redrawn_and_sketched(path: Path) -> None:
    found = drawn(path)
    assert found.sketch.shape == found.trust.shape == (1, 1, 96, 96)
    assert found.error < 0.12
    assert found.trust.min() >= 0 and 0.3 < found.trust.max() <= 1
    assert found.sketch.min() < -0.2 and found.sketch.max() > 0.8, "ink and paper"


def test_a_redrawn_photo_is_nearer_to_itself_than_to_the_other() -> None:
    first, second = (drawn(path).reconstruction for path in PHOTOS)
    guesses = [mini().sketch(Image.open(path).convert("L"), SIZE).reconstruction for path in PHOTOS]
    for guess, own, other in ((guesses[0], first, second), (guesses[1], second, first)):
        grey, mine, yours = (x.mean(1) for x in (guess, own, other))
        assert (grey - mine).abs().mean() < (grey - yours).abs().mean()


def test_the_same_photo_gives_the_same_bytes() -> None:
    again = SketchPrior.from_pretrained("mini").sketch(Image.open(PHOTOS[0]), SIZE)
    assert torch.equal(again.sketch, drawn(PHOTOS[0]).sketch)
    assert torch.equal(again.error, drawn(PHOTOS[0]).error)


def test_the_optimisation_comes_nearer_than_the_encoder_alone() -> None:
    guess = SketchPrior.from_pretrained("mini", steps=0).sketch(Image.open(PHOTOS[0]), SIZE)
    assert drawn(PHOTOS[0]).error < guess.error


def test_a_picture_without_a_face_is_one_sentence() -> None:
    with pytest.raises(InputError, match="shows no face"):
        mini().sketch(Image.new("RGB", SIZE, "grey"))


def test_it_guides_the_embedded_backbone() -> None:
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_sketch_prior("mini")
    photo = Image.open(PHOTOS[0])

    def sketch(scale: float) -> torch.Tensor:
        draw = torch.Generator().manual_seed(0)
        result = pipe("pencil drawing", photo, sketch_prior_scale=scale, resolution=64, generator=draw)
        assert ("inversion_error" in result.settings) == (scale > 0)
        return to_tensor(result.images[0])

    assert not torch.equal(sketch(0.0), sketch(1.0))
