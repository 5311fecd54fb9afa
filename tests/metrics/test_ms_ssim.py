"""`ms_ssim` against the authors' msssim.m, and near torchmetrics', which counts windows over the border."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.metrics import ms_ssim, ssim
from oneshot_sketch.metrics.ms_ssim import WEIGHTS

Drawing = Callable[[int, int, int], Tensor]
# What msssim.m, over the single-scale index of 2004, answers under GNU Octave 7.3 for these drawings saved as PNG.
AUTHORS = [
    (192, 224, 1, 5, 0.2528080998),
    (192, 224, 2, 5, 0.1632927990),
    (96, 88, 2, 4, 0.2360027353),
]


@pytest.mark.parametrize("height, width, seed, scales, expected", AUTHORS)
def test_equals_the_authors_code(height: int, width: int, seed: int, scales: int, expected: float, drawing: Drawing) -> None:
    value = ms_ssim(drawing(height, width, 0), drawing(height, width, seed), scales).item()
    assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("scales", [5, 4, 2])
def test_is_near_torchmetrics(scales: int, colours: tuple[Tensor, Tensor]) -> None:
    first, second = (grey(x) / 2 + 0.5 for x in colours)
    total = sum(WEIGHTS[:scales])
    expected = multiscale_structural_similarity_index_measure(
        first, second, data_range=1.0, betas=tuple(w / total for w in WEIGHTS[:scales]), reduction="none"
    )
    assert expected.std() > 0.05
    torch.testing.assert_close(ms_ssim(*colours, scales), expected, rtol=0, atol=5e-3)


def test_one_for_equal_pictures_and_another_number_than_ssim(colours: tuple[Tensor, Tensor]) -> None:
    a, b = colours
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(3))
    torch.testing.assert_close(ms_ssim(a, b), ms_ssim(b, a))
    assert (ms_ssim(a, b) - ssim(a, b)).abs().min() > 0.01


def test_a_negative_is_zero_not_nan(drawing: Drawing) -> None:
    a = drawing(176, 176, 0)
    assert ms_ssim(a, -a).tolist() == [0.0]


def test_refuses_too_small_pictures_and_other_scales() -> None:
    small = torch.zeros(1, 3, 160, 200)
    with pytest.raises(InputError, match="at least 161 pixels a side, not 200×160"):
        ms_ssim(small, small)
    assert ms_ssim(small, small, scales=4).item() == pytest.approx(1)
    for scales in (0, 1, 6):
        with pytest.raises(InputError, match=f"not {scales}"):
            ms_ssim(small, small, scales)
