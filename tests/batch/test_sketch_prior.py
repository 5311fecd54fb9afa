"""Many photos with a sketch prior: whose sketch depends on what, and what is said of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from batch.conftest import Photos, files
from PIL import Image
from priors import NegativePrior

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.batch import DrawingSettings, Summary, read_manifest, sketch_photos

GUIDED = DrawingSettings(num_inference_steps=1, sketch_prior_scale=2.0)
PLAIN = DrawingSettings(num_inference_steps=1)


def test_neighbours_order_and_interruptions_leave_every_byte_as_it_is(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, prior = photos(7, sizes=((32, 32), (48, 48), (40, 24))), NegativePrior(half=True)
    given = {"sketch_prior": prior, "settings": GUIDED, "batch_size": 2}
    sketch_photos(folder, pencil, tmp_path / "straight", **given)
    straight = files(tmp_path / "straight")
    assert set(prior.calls) == {1}, "photo by photo"
    assert {(48, 48), (32, 32)} <= set(prior.sizes), "as they are, not as they are drawn"
    backwards = [str(path) for path in sorted(folder.iterdir(), reverse=True)]
    sketch_photos(backwards, pencil, tmp_path / "back", **given)
    assert files(tmp_path / "back") == straight
    for name in ("p0001", "p0002"):
        (tmp_path / "back" / f"{name}.png").unlink()
    prior.calls.clear()
    assert sketch_photos(folder, pencil, tmp_path / "back", **given) == Summary(drawn=2, kept=5)
    assert prior.calls == [1, 1], "no inversion for what is kept"
    assert files(tmp_path / "back") == straight


def test_the_sketch_is_the_pipelines_own(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, prior = photos(1, sizes=((40, 48),)), NegativePrior(half=True)
    settings = DrawingSettings(sketch_prior_scale=2.0, sketch_prior_init=0.5)
    sketch_photos(folder, pencil, tmp_path / "out", sketch_prior=prior, settings=settings)
    instruction = LearnedInstruction.from_pretrained(pencil)
    pipe = OneShotSketchPipeline.from_pretrained(instruction.record.backbone).load_instruction(instruction, "pencil")
    pipe.load_sketch_prior(prior)
    with Image.open(tmp_path / "out" / "p0000.png") as sketch:
        said = json.loads(sketch.info["oneshot_sketch"])
        generator = torch.Generator().manual_seed(said["seed"])
        photo = Image.open(folder / "p0000.png")
        own = pipe(image=photo, generator=generator, sketch_prior_scale=2.0, sketch_prior_init=0.5)
        assert sketch.tobytes() == own.images[0].tobytes()
    assert said["sketch_prior"] == "negative"
    assert said["inversion_error"] == own.settings["inversion_error"][0]
    assert (said["sketch_prior_scale"], said["sketch_prior_init"]) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("settings", "fingerprint", "drawn"),
    [
        (GUIDED, "negative", 0),
        (GUIDED, "another", 2),
        (PLAIN, "negative", 2),
        (DrawingSettings(num_inference_steps=1, sketch_prior_scale=1.0), "negative", 2),
        (DrawingSettings(num_inference_steps=1, sketch_prior_scale=2.0, sketch_prior_stop=0.5), "negative", 2),
        (DrawingSettings(num_inference_steps=1, sketch_prior_scale=2.0, sketch_prior_init=0.5), "negative", 2),
    ],
)
def test_the_prior_and_its_settings_are_in_the_key(
    photos: Photos, pencil: Path, tmp_path: Path, settings: DrawingSettings, fingerprint: str, drawn: int
) -> None:
    folder = photos(2)
    sketch_photos(folder, pencil, tmp_path / "out", sketch_prior=NegativePrior(), settings=GUIDED)
    again = sketch_photos(
        folder, pencil, tmp_path / "out", sketch_prior=NegativePrior(fingerprint=fingerprint), settings=settings
    )
    assert (again.drawn, again.kept) == (drawn, 2 - drawn)


def test_scale_0_is_no_prior_to_the_byte(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, prior = photos(2), NegativePrior()
    sketch_photos(folder, pencil, tmp_path / "without", settings=PLAIN)
    sketch_photos(folder, pencil, tmp_path / "off", settings=PLAIN, sketch_prior=prior)
    assert files(tmp_path / "off") == files(tmp_path / "without")
    assert not prior.calls
    assert all(row.inversion_error is None for row in read_manifest(tmp_path / "off"))


def test_a_photo_without_a_face_is_one_row_with_an_error(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, out = photos(3), tmp_path / "out"
    Image.new("RGB", (32, 32)).save(folder / "p0001black.png")
    summary = sketch_photos(folder, pencil, out, sketch_prior=NegativePrior(), settings=GUIDED, batch_size=2)
    assert (summary.drawn, summary.failed) == (3, 1)
    assert summary.first_error == (
        f"{folder / 'p0001black.png'}: there is no face in the photo; choose one that shows one face from the front."
    )
    rows = {row.name: row for row in read_manifest(out)}
    assert rows["p0001black"].error == summary.first_error
    assert rows["p0001black"].sha256
    assert not (out / "p0001black.png").exists()


def test_the_manifest_holds_every_inversion_error_even_written_again(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, out = photos(3), tmp_path / "out"
    sketch_photos(folder, pencil, out, sketch_prior=NegativePrior(), settings=GUIDED, batch_size=2)
    errors = {row.name: row.inversion_error for row in read_manifest(out)}
    prior = NegativePrior()
    assert errors == {name: prior.sketch(Image.open(folder / f"{name}.png")).error.item() for name in errors}
    assert len(set(errors.values())) == 3
    (out / "manifest.sqlite").unlink()
    assert sketch_photos(folder, pencil, out, sketch_prior=prior, settings=GUIDED) == Summary(kept=3)
    assert {row.name: row.inversion_error for row in read_manifest(out)} == errors


def test_a_setting_without_a_prior_is_refused(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--sketch-prior mini"):
        sketch_photos(photos(1), pencil, tmp_path / "out", settings=GUIDED)
    with pytest.raises(InputError, match="sketch_prior_scale"):
        DrawingSettings(sketch_prior_scale=-1)
    assert not (tmp_path / "out").exists()
