"""`kernel_distance` against torchmetrics' and piq's KID over the same features."""

from __future__ import annotations

import piq
import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import kernel, kernel_distance


def two_sets(n: int, m: int, shift: float = 0.4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, 8, generator=generator), torch.randn(m, 8, generator=generator) + shift


@pytest.mark.parametrize("n", [2, 40])
def test_equals_torchmetrics(n: int) -> None:
    a, b = two_sets(n, n)
    assert kernel_distance(a, b) == pytest.approx(poly_mmd(a.double(), b.double()).item(), abs=1e-6)


def test_equals_piq() -> None:
    a, b = two_sets(40, 40)
    assert kernel_distance(a, b) == pytest.approx(piq.KID(n_subsets=1, subset_size=40)(a, b).item(), abs=1e-4)


def test_of_unequal_sets_is_the_sum_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (x.double() for x in two_sets(5, 7))
    k = lambda x, y: ((x @ y) / 8 + 1) ** 3  # noqa: E731
    expected = (
        sum(k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / 20
        + sum(k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / 42
        - 2 * sum(k(x, y) for x in a for y in b) / 35
    )
    monkeypatch.setattr("oneshot_sketch.metrics.kernel.CHUNK", 3)
    assert kernel.CHUNK == 3
    assert kernel_distance(a, b) == pytest.approx(float(expected))


def test_is_about_zero_for_one_distribution_and_not_for_two() -> None:
    assert abs(kernel_distance(*two_sets(300, 300, shift=0))) < 0.05 < kernel_distance(*two_sets(300, 300))


def test_refuses_one_picture_and_two_widths() -> None:
    a, b = two_sets(5, 5)
    with pytest.raises(InputError, match="at least 2 pictures"):
        kernel_distance(a, b[:1])
    with pytest.raises(InputError, match="8 and 7"):
        kernel_distance(a, b[:, 1:])
