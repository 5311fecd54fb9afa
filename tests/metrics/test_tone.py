"""`tone_distance` against SciPy's Wasserstein distance."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import wasserstein_distance

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.metrics import tone_distance


def test_equals_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(4, 3, 24, 20, generator=generator) * 2 - 1 for _ in range(2))
    b = (b * torch.tensor([1.0, 0.5, 0.1, -0.8]).view(4, 1, 1, 1) + 0.2).clamp(-1, 1)
    first, second = (grey(x).flatten(1).double().numpy() / 2 + 0.5 for x in (a, b))
    expected = [wasserstein_distance(x, y) for x, y in zip(first, second, strict=True)]
    assert tone_distance(a, b).tolist() == pytest.approx(expected, abs=1e-6)


def test_is_the_shift_of_a_uniform_shift() -> None:
    a = torch.rand(2, 3, 16, 16) - 0.5
    torch.testing.assert_close(tone_distance(a, a + 0.2), torch.full((2,), 0.1))


def test_does_not_care_where_tones_lie() -> None:
    a = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(tone_distance(a, a.flip(2, 3)), torch.zeros(1))


def test_refuses_other_shapes() -> None:
    with pytest.raises(InputError, match="one shape"):
        tone_distance(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 20))
