"""A photo and a sketch that may be laid on one another."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.pair import MAX_ASPECT_GAP


def test_the_sketch_takes_the_size_of_the_photo(photo: Image.Image) -> None:
    pair = PhotoSketchPair(photo.resize((60, 80)), photo.convert("L").resize((300, 400)))
    assert pair.photo.size == pair.sketch.size == (60, 80)
    assert pair.photo.mode == pair.sketch.mode == "RGB"
    assert (pair.name, pair.style, pair.licence) == ("pair", None, None)


def test_a_sketch_of_the_same_size_is_untouched(photo: Image.Image) -> None:
    assert np.array_equal(PhotoSketchPair(photo, photo).sketch, photo)


@given(width=st.integers(50, 400), height=st.integers(50, 400), stretch=st.floats(0.8, 1.25))
def test_shapes_within_six_percent_pass(width: int, height: int, stretch: float) -> None:
    photo, sketch = Image.new("L", (width, height)), Image.new("L", (round(width * stretch), height))
    gap = abs(photo.width / sketch.width - 1)
    if abs(gap - MAX_ASPECT_GAP) < 1e-9:
        return
    if gap < MAX_ASPECT_GAP:
        assert PhotoSketchPair(photo, sketch).sketch.size == photo.size
    else:
        with pytest.raises(InputError, match="crop both to the same frame"):
            PhotoSketchPair(photo, sketch)


def test_a_photo_turned_by_its_exif_fits_its_upright_sketch(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 60)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("L", (60, 80)).save(tmp_path / "sketch.png")
    assert PhotoSketchPair.open(tmp_path / "turned.jpg", tmp_path / "sketch.png").photo.size == (60, 80)


def test_open_names_the_pair_after_the_photo(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "ada.png")
    photo.convert("L").save(tmp_path / "drawing.png")
    pair = PhotoSketchPair.open(tmp_path / "ada.png", str(tmp_path / "drawing.png"), style="chalk", licence="CC0-1.0")
    assert (pair.name, pair.style, pair.licence) == ("ada", "chalk", "CC0-1.0")
    with pytest.raises(InputError, match=r"nobody\.png does not exist"):
        PhotoSketchPair.open(tmp_path / "ada.png", tmp_path / "nobody.png")


def test_arrays_are_pictures_too_unless_they_hold_nan() -> None:
    array = np.zeros((32, 32), np.float32)
    assert PhotoSketchPair(array, array).photo.mode == "RGB"  # type: ignore[arg-type]
    with pytest.raises(InputError, match="NaN"):
        PhotoSketchPair(array, array * np.nan)  # type: ignore[arg-type]


def test_tensors_share_a_size_near_the_resolution(photo: Image.Image) -> None:
    pair = PhotoSketchPair(photo.resize((300, 400)), photo.convert("L").resize((150, 200)))
    tensors = pair.tensors(128)
    for tensor in tensors:
        assert tensor.shape == (1, 3, 144, 112)
        assert tensor.dtype == torch.float32
        assert tensor.abs().max() <= 1
    assert (tensors[1] == tensors[1][:, :1]).all()


def test_a_pair_is_frozen(pair: PhotoSketchPair) -> None:
    with pytest.raises(FrozenInstanceError):
        pair.name = "somebody else"  # type: ignore[misc]
