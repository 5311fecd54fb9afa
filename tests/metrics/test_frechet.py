"""`frechet_distance` against torchmetrics' FID over the same features, and SciPy's matrix root."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import frechet_distance


class Through(nn.Module):
    """Features pass as pictures."""

    num_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x


def two_sets(n: int, m: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    a, b = (torch.randn(k, 12, generator=generator, dtype=torch.float64) for k in (n, m))
    return a, b @ (torch.eye(12, dtype=torch.float64) * 0.7 + 0.1) + 0.3


@pytest.mark.parametrize("n, m", [(60, 90), (30, 5), (4, 7), (2, 2)])
def test_equals_torchmetrics(n: int, m: int) -> None:
    a, b = two_sets(n, m)
    fid = FrechetInceptionDistance(feature=Through())
    fid.set_dtype(torch.float64)
    fid.update(a, real=True)
    fid.update(b, real=False)
    assert frechet_distance(a, b) == pytest.approx(fid.compute().item(), rel=1e-4)


def test_equals_the_formula_with_scipys_root() -> None:
    a, b = (x.numpy() for x in two_sets(80, 50))
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    shift = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected = shift + np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-6)


def test_is_zero_for_one_set_and_the_square_of_a_shift() -> None:
    a, _ = two_sets(40, 2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * 12)
    assert frechet_distance(a.float(), a.float().flip(0)) == pytest.approx(0, abs=1e-6)


def test_refuses_one_picture_nan_and_two_widths() -> None:
    a, b = two_sets(5, 5)
    for first, second in ((a[:1], b), (a, b[:1])):
        with pytest.raises(InputError, match="at least 2 pictures on each side, not 1"):
            frechet_distance(first, second)
    with pytest.raises(InputError, match="NaN"):
        frechet_distance(a * torch.nan, b)
    with pytest.raises(InputError, match="12 and 11"):
        frechet_distance(a, b[:, 1:])
