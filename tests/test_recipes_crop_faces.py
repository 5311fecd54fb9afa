"""The recipe that brings faces to one frame, on the bundled photos."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot_sketch.data import load_pairs
from oneshot_sketch.face_finder import EmbeddedFaceFinder, the_face

ROOT = Path(__file__).parents[1]
PHOTOS = sorted((ROOT / "assets/quickstart/photos").glob("portrait_*.jpg"))[:3]
spec = importlib.util.spec_from_file_location("crop_faces", ROOT / "recipes" / "crop_faces.py")
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
sys.modules["crop_faces"] = recipe
spec.loader.exec_module(recipe)
pytestmark = pytest.mark.usefixtures("one_thread")


def test_faces_come_to_one_place_and_what_is_no_face_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("photo", "sketch"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for path in PHOTOS:
            Image.open(path).convert("RGB").save(tmp_path / "pairs" / side / f"{path.stem}.png")
        Image.new("RGB", (80, 80), "grey").save(tmp_path / "pairs" / side / "wall.png")
    words = ["--root", str(tmp_path / "pairs"), "--output", str(tmp_path / "faces"), "--side", "96", "--test_share", "0.5"]
    assert recipe.main(words) == 0
    said = capsys.readouterr().out
    rows = load_pairs("folder", tmp_path / "faces")
    assert "1 left out" in said and len(rows) == len(PHOTOS)
    finder = EmbeddedFaceFinder.from_pretrained("mini")
    points = []
    for row in rows:
        assert row["photo"].size == row["sketch"].size == (96, 96)
        assert np.array_equal(np.asarray(row["photo"].convert("RGB")), np.asarray(row["sketch"].convert("RGB")))
        points.append(the_face(finder.find(row["photo"].convert("RGB")), "face").points)
    assert np.ptp(np.stack(points), axis=0).max() < 0.15 * 96


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--side", "8"], "--side is 8"),
        (["--yunet", "no.onnx"], "no.onnx does not exist"),
        (["--root", "nowhere"], "nowhere"),
        (["--style", "brush"], "no pair of style 'brush'"),
    ],
)
def test_unusable_input_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    (tmp_path / "pairs" / "photo").mkdir(parents=True)
    (tmp_path / "pairs" / "sketch").mkdir()
    for side in ("photo", "sketch"):
        Image.new("L", (32, 32)).save(tmp_path / "pairs" / side / "a.png")
    assert recipe.main(["--root", str(tmp_path / "pairs"), "--output", str(tmp_path / "faces"), *more]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "faces").exists()
