"""YuNet behind the face finder's protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED, picture
from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.face_finder import the_face
from oneshot_sketch.images import open_image
from oneshot_sketch.yunet import YuNetFaceFinder

WEIGHTS = SHARED / "weights/yunet/yunet_n_320_320.onnx"


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; download"):
        YuNetFaceFinder(tmp_path / "yunet.onnx")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no development data here")
def test_one_two_and_no_faces() -> None:
    finder = YuNetFaceFinder(WEIGHTS)
    photo = open_image(SHARED / "cufs/ar/photo/010.png")
    (face,) = finder.find(photo)
    assert face.score > 0.6 and abs(face.yaw) < 20 and face.drawn == 0
    both = Image.new("RGB", (2 * photo.width, photo.height))
    both.paste(photo, (0, 0))
    both.paste(photo, (photo.width, 0))
    found = sorted(finder.find(both), key=lambda face: face.points[0, 0])
    assert len(found) == 2
    assert np.abs(found[1].points - found[0].points - (photo.width, 0)).max() < 4
    with pytest.raises(InputError, match="2 faces"):
        the_face(finder.find(both))
    assert finder.find(picture(200, 200)) == []
    assert YuNetFaceFinder(WEIGHTS, 0.7).fingerprint != finder.fingerprint
