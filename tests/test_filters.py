"""The classical filters against NumPy, SciPy and scikit-image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.exposure import match_histograms
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.filters import dodge_and_burn, grey_photo, match_tone, xdog
from oneshot_sketch.images import grey

FILTERS = (grey_photo, dodge_and_burn, xdog)


def photos() -> Tensor:
    """(2, 3, 128, 128): smooth blobs, no two pixels equal."""
    noise = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)).numpy()
    blobs = gaussian_filter(noise, (0, 0, 5, 5))
    return torch.from_numpy(blobs / np.abs(blobs).max() * 0.9)


def unit(image: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] → (B, H, W) float64 in [0, 1]."""
    return grey(image)[:, 0].double().numpy() / 2 + 0.5


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(image, (0, sigma, sigma), mode="mirror", radius=round(3 * sigma))


@pytest.mark.parametrize("draw", FILTERS)
def test_gives_grey_pictures_in_range(draw: Callable[[Tensor], Tensor]) -> None:
    drawn = draw(photos())
    assert drawn.shape == (2, 3, 128, 128) and drawn.dtype == torch.float32
    assert drawn.min() >= -1 and drawn.max() <= 1
    assert (drawn == drawn[:, :1]).all()


def test_grey_photo_is_the_luma() -> None:
    np.testing.assert_allclose(unit(grey_photo(photos())), unit(photos()), atol=1e-6)


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_dodge_equals_numpy(sigma: float) -> None:
    g = unit(photos())
    expected = np.clip(g / (1 - blur(1 - g, sigma)), 0, 1)
    np.testing.assert_allclose(unit(dodge_and_burn(photos(), sigma)), expected, atol=1e-5)


def test_dodge_leaves_flat_paper_white_even_on_black() -> None:
    flat = torch.tensor([-1.0, -0.5, 0.5]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    torch.testing.assert_close(dodge_and_burn(flat)[1:], torch.ones(2, 3, 32, 32))
    assert dodge_and_burn(flat).isfinite().all()


def test_xdog_equals_numpy() -> None:
    g = unit(photos())
    s = 11 * blur(g, 1.0) - 10 * blur(g, 1.6)
    expected = np.where(s >= 0.45, 1, 1 + np.tanh(4 * (s - 0.45)))
    np.testing.assert_allclose(unit(xdog(photos())), expected, atol=1e-4)


def test_lengths_grow_with_the_picture() -> None:
    small = photos()
    large = torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic").clamp(-1, 1)
    for draw in FILTERS:
        shrunk = torch.nn.functional.interpolate(draw(large), scale_factor=0.5, mode="area")
        assert (shrunk - draw(small)).abs().mean() < 0.02


@pytest.mark.parametrize("size", [128, 100])
def test_match_tone_agrees_with_skimage(size: int) -> None:
    exemplar = photos()[1:, :, :size, :size] ** 3
    actual = unit(match_tone(photos(), exemplar))
    for matched, source in zip(actual, unit(photos()), strict=True):
        np.testing.assert_allclose(matched, match_histograms(source, unit(exemplar)[0]), atol=5e-3)


def test_match_tone_gives_exactly_the_levels_of_the_exemplar() -> None:
    exemplar = photos()[1:]
    flat = torch.ones(1, 3, 128, 128)
    matched = match_tone(torch.cat([photos(), flat]), exemplar)
    levels = grey(exemplar).flatten().sort().values
    for image in matched:
        torch.testing.assert_close(image[0].flatten().sort().values, levels, rtol=0, atol=1e-6)


def test_match_tone_breaks_ties_by_the_neighbourhood() -> None:
    """Equal white pixels darken towards a dark edge."""
    image = torch.ones(1, 3, 64, 64)
    image[..., 32:] = -1
    matched = match_tone(image, torch.linspace(-1, 1, 64 * 64).view(1, 1, 64, 64).expand(1, 3, 64, 64))
    white = matched[0, 0, :, :32].mean(0)
    assert white[31] < white[30] < white[:30].min()


def test_match_tone_refuses_several_exemplars() -> None:
    with pytest.raises(InputError, match="one exemplar"):
        match_tone(photos(), photos())
