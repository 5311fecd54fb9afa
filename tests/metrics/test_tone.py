"""`tone_distance` against SciPy's Wasserstein distance."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import rankdata, wasserstein_distance
from skimage.exposure import match_histograms

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.metrics import tone_distance
from oneshot_sketch.metrics.tone import grey_levels, with_levels


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


def test_levels_of_another_picture_go_where_an_image_has_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    image, others = torch.rand(2, 1, 24, 16, generator=generator), torch.rand(2, 3, 24, 16, generator=generator) * 2 - 1
    levels = grey_levels(others)
    for one, given, row in zip(image, with_levels(image, levels), levels, strict=True):
        theirs = match_histograms(one[0].numpy(), row.view(24, 16).numpy())
        torch.testing.assert_close(given[0], torch.from_numpy(theirs).float(), atol=1e-6, rtol=0)
    flat = (image * 4).round() / 4  # five greys
    for one, given, row in zip(flat, with_levels(flat, levels), levels, strict=True):
        ranks = (rankdata(one, method=method).astype(int) for method in ("min", "max"))
        theirs = [row[first - 1 : last].mean().item() for first, last in zip(*ranks, strict=True)]
        assert given.flatten().tolist() == pytest.approx(theirs, abs=1e-6)
