"""Where the five points come from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED, picture
from PIL import Image

from oneshot_sketch.data import YuNet
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import open_image
from oneshot_sketch.landmarks import five_points

WEIGHTS = SHARED / "weights/yunet/yunet_n_320_320.onnx"
with_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no development data here")


def test_points_may_be_any_sequence() -> None:
    points = five_points([(30, 40), (70, 40), (50, 60), (35, 80), (65, 80)])
    assert (points.shape, points.dtype) == ((5, 2), np.float64)


def test_a_face_lying_on_its_side_is_a_face() -> None:
    upright = np.array([(30, 40), (70, 40), (50, 60), (35, 80), (65, 80)])
    five_points(upright[:, ::-1] * (-1, 1) + (100, 0))


def test_a_missing_file_and_a_file_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; download"):
        YuNet(tmp_path / "yunet.onnx")
    (tmp_path / "yunet.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="no YuNet network"):
        YuNet(tmp_path / "yunet.onnx")
    with pytest.raises(InputError, match="between 0 and 1, not 7"):
        YuNet(tmp_path / "yunet.onnx", score_threshold=7)


def test_without_opencv_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "yunet.onnx").touch()
    with pytest.raises(InputError, match=r"pip install 'oneshot-sketch\[alignment\]'"):
        YuNet(tmp_path / "yunet.onnx")


@with_weights
def test_it_finds_photographed_and_drawn_faces_at_any_size() -> None:
    faces = YuNet(WEIGHTS)
    for kind in ("photo", "sketch"):
        image = open_image(SHARED / f"cufs/ar/{kind}/010.png")
        points = faces(image)
        left, right, nose, *mouth = points
        assert left[0] < nose[0] < right[0]
        assert max(left[1], right[1]) < nose[1] < min(corner[1] for corner in mouth)
        assert ((points > 0) & (points < image.size)).all()
        larger = faces(image.resize((1600, 2000), Image.Resampling.BICUBIC))
        assert np.abs((larger + 0.5) / 8 - 0.5 - points).mean() < 5


@with_weights
def test_exactly_one_face_is_needed() -> None:
    faces = YuNet(WEIGHTS)
    with pytest.raises(InputError, match="no face where exactly one"):
        faces(Image.new("RGB", (200, 250), "white"))
    with pytest.raises(InputError, match="no face"):
        faces(picture(200, 250).convert("L"))
    image = open_image(SHARED / "cufs/ar/photo/010.png")
    twins = Image.new("RGB", (400, 250))
    twins.paste(image)
    twins.paste(image, (200, 0))
    with pytest.raises(InputError, match="2 faces where exactly one"):
        faces(twins)
