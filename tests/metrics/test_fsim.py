"""`fsim` against the authors' FeatureSIM.m."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.metrics import fsim

Drawing = Callable[[int, int, int], Tensor]
# What FeatureSIM.m (version 1.0) answers under GNU Octave 7.3 for these drawings saved as PNG.
AUTHORS = [
    (101, 134, 1, 0.6028760765),
    (101, 134, 2, 0.6143768438),
    (250, 200, 1, 0.5972427364),
    (250, 200, 2, 0.5987421134),
    (64, 64, 1, 0.6730072126),
    (64, 64, 2, 0.5816177974),
    (600, 500, 1, 0.7165474249),
    (600, 500, 2, 0.7118561298),
]


@pytest.mark.parametrize("height, width, seed, expected", AUTHORS)
def test_equals_the_authors_code(height: int, width: int, seed: int, expected: float, drawing: Drawing) -> None:
    value = fsim(drawing(height, width, 0), drawing(height, width, seed)).item()
    assert value == pytest.approx(expected, abs=1e-4)


def test_is_near_the_authors_code_where_pictures_are_shrunk_by_three(drawing: Drawing) -> None:
    value = fsim(drawing(700, 800, 0), drawing(700, 800, 1)).item()
    assert value == pytest.approx(0.7781727594, abs=0.015)


def test_one_for_equal_pictures_and_blind_to_colour(colours: tuple[Tensor, Tensor]) -> None:
    a, b = colours
    torch.testing.assert_close(fsim(a, grey(a).expand_as(a)), torch.ones(3))
    torch.testing.assert_close(fsim(a, b), fsim(b, a))
    assert fsim(a, b).diff().max() < 0  # more noise, less alike


def test_a_blank_drawing_has_a_number(drawing: Drawing) -> None:
    blank = torch.ones(1, 3, 64, 64)
    assert 0 <= fsim(blank, drawing(64, 64, 0)).item() < 0.6
    assert fsim(blank, blank).item() == pytest.approx(1)


def test_refuses_too_small_pictures() -> None:
    with pytest.raises(InputError, match="at least 16 pixels"):
        fsim(torch.zeros(1, 3, 15, 40), torch.zeros(1, 3, 15, 40))
