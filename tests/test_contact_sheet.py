"""Tiles where they belong, the rest white."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from oneshot_sketch.contact_sheet import contact_sheet
from oneshot_sketch.errors import InputError

SIDE, GAP, LABEL = 32, 6, 18


def tile(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + LABEL + GAP) + LABEL
    return np.asarray(sheet.crop((left, top, left + SIDE, top + SIDE)))


def test_rows_and_columns() -> None:
    red, blue = Image.new("RGB", (SIDE, SIDE), "red"), Image.new("RGB", (64, 64), "blue")
    sheet = contact_sheet({"first": [red, None, blue], "second": [blue]}, side=SIDE)
    assert sheet.size == (3 * (SIDE + GAP) + GAP, 2 * (SIDE + LABEL + GAP) + GAP)
    assert (tile(sheet, 0, 0) == [255, 0, 0]).all()
    assert (tile(sheet, 0, 1) == 255).all(), "None leaves a place empty"
    assert (tile(sheet, 0, 2) == [0, 0, 255]).all()
    assert (tile(sheet, 1, 0) == [0, 0, 255]).all()
    assert (tile(sheet, 1, 1) == 255).all(), "so does a short row"


def test_tiles_keep_their_shape_on_white() -> None:
    shown = tile(contact_sheet({"": [Image.new("L", (60, 30), 0)]}, side=SIDE), 0, 0)
    assert (shown[8:24] == 0).all()
    assert (shown[:8] == 255).all()
    assert (shown[24:] == 255).all()


def test_labels_are_written_above_their_row() -> None:
    def ink(label: str) -> np.ndarray:
        sheet = np.asarray(contact_sheet({label: [None] * 4}, side=SIDE).convert("L"))
        assert (sheet[GAP + LABEL :] == 255).all()
        return sheet[: GAP + LABEL]

    assert ink("artist").min() < 64
    assert ink("").min() == 255
    assert not np.array_equal(ink("artist"), ink("photo"))


def test_nothing_to_show_is_refused() -> None:
    for rows in ({}, {"empty": []}):
        with pytest.raises(InputError, match="nothing"):
            contact_sheet(rows)
