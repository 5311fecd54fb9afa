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


def test_the_slope_is_that_of_small_differences(drawing: Drawing) -> None:
    paper = torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.2
    a, b = (drawing(64, 64, seed) * 0.6 + paper[[seed]] for seed in (0, 1))
    picture = a.clone().requires_grad_()
    fsim(picture, b).sum().backward()
    assert picture.grad is not None
    towards = picture.grad / picture.grad.norm()
    step = 1e-6
    rise = (fsim(a + step * towards, b) - fsim(a - step * towards, b)) / (2 * step)
    assert rise.item() == pytest.approx(picture.grad.norm().item(), rel=1e-3)


@pytest.mark.parametrize("level", [-1.0, 0.3, 0.999, 1.0])
def test_flat_paper_has_a_slope_of_numbers(drawing: Drawing, level: float) -> None:
    a = drawing(64, 64, 0)
    a[..., :30] = level
    picture = a.clone().requires_grad_()
    fsim(picture.clamp(-1, 1), drawing(64, 64, 1)).sum().backward()
    assert picture.grad is not None
    assert picture.grad.isfinite().all()
    assert picture.grad[..., 34:].abs().max() > 1e-4
