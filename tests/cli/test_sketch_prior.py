"""`oneshot-sketch sketch --sketch-prior`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from conftest import picture
from PIL import Image
from priors import ByName

from oneshot_sketch.batch import read_manifest


@pytest.fixture
def priors(monkeypatch: pytest.MonkeyPatch) -> ByName:
    return ByName.install(monkeypatch)


def test_each_inversion_error_is_printed(run: Run, priors: ByName, pencil: Path, tmp_path: Path) -> None:
    for k in range(2):
        picture(seed=k).save(tmp_path / f"{k}.png")
    common = [str(tmp_path / "0.png"), str(tmp_path / "1.png"), "--instruction", str(pencil), "--steps", "1", "--output"]
    done = run("sketch", *common, str(tmp_path / "out"), "--sketch-prior", "mini")
    assert done.code == 0
    for row in read_manifest(tmp_path / "out"):
        assert f"{row.name}: inversion error {row.inversion_error:.3f}\n" in done.out
    with Image.open(tmp_path / "out" / "0.png") as sketch:
        assert json.loads(sketch.info["oneshot_sketch"])["sketch_prior_scale"] == 0.3
    off = run("sketch", *common, str(tmp_path / "off"), "--sketch-prior", "mini", "--sketch-prior-scale", "0")
    assert off.code == 0
    assert "inversion error" not in off.out
    assert priors.asked == ["mini"], "at scale 0 it is not even loaded"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--sketch-prior-scale", "1"], "there is no sketch prior to guide by"),
        (["--sketch-prior", "mini", "--sketch-prior-scale", "-1"], "sketch_prior_scale is -1.0"),
        (["--sketch-prior", "none"], "none holds no sketch prior"),
    ],
)
def test_what_cannot_guide_is_one_sentence(
    run: Run, priors: ByName, pencil: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    picture().save(tmp_path / "photo.png")
    done = run("sketch", str(tmp_path / "photo.png"), "--instruction", str(pencil), "--output", str(tmp_path / "out"), *options)
    assert sentence in done.complaint
    assert not (tmp_path / "out").exists()


def test_a_photo_without_a_face_ends_with_its_name(run: Run, priors: ByName, pencil: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    common = ["--instruction", str(pencil), "--output", str(tmp_path / "out"), "--sketch-prior", "mini"]
    done = run("sketch", str(tmp_path / "black.png"), *common)
    assert done.complaint.startswith(f"{tmp_path / 'black.png'}: there is no face in the photo")
