"""Ten numbers that answer to what they are named after."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.attributes import ATTRIBUTES, LEVELS, describe, drift, measure, typical

SIZE = 128
PHOTO = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
PHOTO = F.interpolate(PHOTO, (SIZE, SIZE), mode="bicubic").clamp(-1, 1)
NOISE = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
ROW = torch.arange(SIZE).view(1, 1, 1, SIZE).expand(1, 1, SIZE, SIZE)


def paper(brightness: float = 1.0) -> Tensor:
    """(1, 1, 128, 128) in [0, 1]."""
    return torch.full((1, 1, SIZE, SIZE), brightness)


def levels(sketch: Tensor, photo: Tensor = PHOTO) -> dict[str, float]:
    return dict(zip(ATTRIBUTES, measure(sketch * 2 - 1, photo)[0].tolist(), strict=True))


def strokes(darkness: float) -> Tensor:
    return torch.where(ROW % 8 < 2, 1 - darkness, 1.0)


def patch(value: float, rows: slice, columns: slice, onto: float = 1.0) -> Tensor:
    sketch = paper(onto).clone()
    sketch[..., rows, columns] = value
    return sketch


def like_the_photo(share: float) -> Tensor:
    grey = (PHOTO * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True) / 2 + 0.5
    return (share * grey + (1 - share) * grey.flip(-1, -2)).clamp(0, 1)


RISING: list[tuple[str, Callable[[float], Tensor], Sequence[float]]] = [
    ("paper", paper, (0.55, 0.7, 0.85, 0.95, 1.0)),
    ("ink", strokes, (0.0, 0.2, 0.5, 0.8, 1.0)),
    ("blacks", lambda share: patch(0.1, slice(None), slice(0, round(share * SIZE))), (0.0, 0.1, 0.2, 0.4)),
    ("midtones", lambda share: patch(0.6, slice(None), slice(0, round(share * SIZE))), (0.0, 0.2, 0.4, 0.7)),
    ("grain", lambda amount: (0.5 + amount * NOISE).clamp(0, 1), (0.0, 0.03, 0.07, 0.12)),
    ("lines", strokes, (0.0, 0.1, 0.3, 0.5)),
    ("tone", lambda depth: 1 - depth * ROW / (SIZE - 1), (0.0, 0.3, 0.6, 0.9)),
    ("shading", like_the_photo, (0.0, 0.3, 0.6, 1.0)),
    ("background", lambda dark: patch(1 - dark, slice(0, 24), slice(None)), (0.0, 0.1, 0.3, 0.5)),
    ("face", lambda dark: patch(1 - dark, slice(40, 95), slice(40, 95)), (0.0, 0.1, 0.3, 0.5)),
]


@pytest.mark.parametrize(("name", "draw", "amounts"), RISING, ids=[name for name, _, _ in RISING])
def test_more_of_it_is_a_higher_level(name: str, draw: Callable[[float], Tensor], amounts: Sequence[float]) -> None:
    measured = [levels(draw(amount))[name] for amount in amounts]
    assert all(low < high for low, high in pairwise(measured)), measured
    assert measured[-1] - measured[0] > 2, "enough to be told apart in words"


def test_every_attribute_is_tested() -> None:
    assert tuple(name for name, _, _ in RISING) == ATTRIBUTES


def test_places_do_not_leak_into_one_another() -> None:
    blank = levels(paper())
    assert levels(patch(0, slice(0, 24), slice(0, 16)))["face"] == blank["face"] == 0
    assert levels(patch(0, slice(40, 95), slice(40, 95)))["background"] == blank["background"] == 0
    assert levels(patch(0, slice(0, 24), slice(0, 16)))["background"] == pytest.approx(0.5 / 0.6 * 9)
    assert levels(patch(0, slice(100, 128), slice(None)))["background"] == 0, "the lower corners hold shoulders"


def test_blank_paper_and_flat_grey() -> None:
    assert describe(measure(torch.ones(1, 3, 64, 64), PHOTO)[0]) == (
        "paper 9 ink 0 blacks 0 midtones 0 grain 0 lines 0 tone 0 shading 3 background 0 face 0"
    )
    grey = levels(paper(0.7))
    assert grey["paper"] == pytest.approx((0.7 - 0.5) / 0.5 * 9, abs=1e-4)
    assert grey["ink"] == pytest.approx(0.3 / 0.55 * 9, abs=1e-4)
    assert grey["background"] == grey["face"] == pytest.approx(0.3 / 0.6 * 9, abs=1e-4)
    assert grey["midtones"] == 9
    assert grey["blacks"] == 0


def test_levels_are_bounded_and_finite() -> None:
    extremes = torch.cat([torch.full((1, 3, SIZE, SIZE), v) for v in (-1.0, 1.0, -50.0, 50.0)] + [NOISE.expand(1, 3, -1, -1) * 9])
    measured = measure(extremes, PHOTO.expand(5, -1, -1, -1))
    assert measured.shape == (5, 10)
    assert measured.isfinite().all()
    assert measured.min() >= 0
    assert measured.max() <= LEVELS - 1


def test_equals_scipy() -> None:
    """Everything again in NumPy, with SciPy's Gaussian; grain, lines, tone and shading depend on it."""
    sketch = (0.65 + 0.1 * NOISE + 0.25 * torch.sin(ROW / 5)).clamp(0, 1)
    t = sketch[0, 0].double().numpy()
    g = ((PHOTO[0].double().numpy() * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(0) / 2 + 0.5).clip(0, 1)

    def blur(image: np.ndarray, sigma: float) -> np.ndarray:
        return gaussian_filter(image, sigma, mode="mirror", radius=round(3 * sigma))

    fine, mid, coarse, light = blur(t, 1), blur(t, 3), blur(t, 4), blur(g, 4)
    dark = 1 - t
    covariance = ((coarse - coarse.mean()) * (light - light.mean())).mean()
    expected = {
        "paper": (np.quantile(t, 0.95) - 0.5) / 0.5,
        "ink": dark.mean() / 0.55,
        "blacks": (dark > 0.65).mean() / 0.45,
        "midtones": ((dark > 0.15) & (dark <= 0.65)).mean() / 0.75,
        "grain": (t - fine).std(ddof=1) / 0.16,
        "lines": (fine - mid).std(ddof=1) / 0.17,
        "tone": coarse.std(ddof=1) / 0.33,
        "shading": (covariance / (coarse.std(ddof=1) * light.std(ddof=1) + 1e-3) + 0.4) / 1.4,
        "background": np.concatenate([dark[:24, :16], dark[:24, -16:]]).mean() / 0.6,
        "face": dark[40:95, 40:95].mean() / 0.6,
    }
    actual = levels(sketch)
    for name, value in expected.items():
        assert 0 < value < 1, f"{name} is not tested at its limit"
        assert actual[name] == pytest.approx(9 * value, abs=2e-3), name


@pytest.mark.parametrize("side", [192, 256, 512])
def test_the_resolution_does_not_matter(side: int) -> None:
    """Within a level, for one drawing of strokes and soft tones scanned at several sizes."""
    y, x = torch.meshgrid(*[(torch.arange(1024) + 0.5) / 1024] * 2, indexing="ij")
    lines = 0.4 * (torch.sin(60 * x + 9 * y) > 0.6)
    drawing = (1 - lines - 0.5 * torch.exp(-8 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)))[None, None].clamp(0, 1)

    def scanned(size: int) -> dict[str, float]:
        photo = F.interpolate(PHOTO, (size, size), mode="bicubic").clamp(-1, 1)
        return levels(F.interpolate(drawing, (size, size), mode="area"), photo)

    small, large = scanned(SIZE), scanned(side)
    assert all(abs(small[name] - large[name]) < 1 for name in ATTRIBUTES), (small, large)


def test_one_channel_equals_three_and_a_batch_equals_its_parts() -> None:
    sketches = torch.cat([strokes(0.8), (0.5 + 0.1 * NOISE).clamp(0, 1)]) * 2 - 1
    photos = torch.cat([PHOTO, PHOTO.flip(-1)])
    both = measure(sketches, photos)
    torch.testing.assert_close(measure(sketches.expand(-1, 3, -1, -1), photos), both)
    for i in range(2):
        torch.testing.assert_close(measure(sketches[i : i + 1], photos[i : i + 1])[0], both[i])


def sitter(hair: int) -> tuple[Tensor, Tensor]:
    """A photo with `hair` dark columns on either side of a bright face, and a hand that inks dark hair and nothing else."""
    grown = torch.minimum(ROW, SIZE - 1 - ROW) < hair
    photo = torch.where(grown, 0.1, 0.8).expand(1, 3, SIZE, SIZE)
    return torch.where(grown, 0.3, 0.95), photo * 2 - 1


def looks(sketch: Tensor, photo: Tensor) -> dict[str, float]:
    return dict(zip(ATTRIBUTES, typical(sketch * 2 - 1, photo)[0].tolist(), strict=True))


@pytest.mark.parametrize("name", ["ink", "blacks", "background"])
def test_much_hair_does_not_make_a_dark_hand(name: str) -> None:
    """Three sitters of one hand differ at most half as much as their sketches do."""
    sitters = [sitter(hair) for hair in (8, 16, 36)]
    measured = [levels(*pair)[name] for pair in sitters]
    told = [looks(*pair)[name] for pair in sitters]
    assert max(measured) - min(measured) > 0.4
    assert max(told) - min(told) < 0.5 * (max(measured) - min(measured))
    assert max(told) < max(measured)


def test_a_sitter_with_the_usual_share_of_hair_is_taken_as_drawn() -> None:
    sketch, photo = sitter(14)  # 28 of 128 columns
    for name in ("ink", "blacks", "midtones", "tone", "shading", "face", "grain", "lines", "paper"):
        assert looks(sketch, photo)[name] == pytest.approx(levels(sketch, photo)[name], abs=0.3), name


def test_a_dark_wall_left_white_changes_nothing() -> None:
    photo = torch.where(torch.minimum(ROW, SIZE - 1 - ROW) < 36, 0.1, 0.8).expand(1, 3, SIZE, SIZE) * 2 - 1
    sketch = patch(0.4, slice(50, 80), slice(50, 80))
    assert looks(sketch, photo) == pytest.approx(levels(sketch, photo), abs=1e-4)


def test_typical_looks_of_a_batch_equal_its_parts() -> None:
    sketches, photos = (torch.cat(images) for images in zip(*(sitter(hair) for hair in (8, 40)), strict=True))
    both = typical(sketches * 2 - 1, photos)
    for i in range(2):
        torch.testing.assert_close(typical(sketches[i : i + 1] * 2 - 1, photos[i : i + 1])[0], both[i])


@given(st.lists(st.floats(0, LEVELS - 1, width=32), min_size=len(ATTRIBUTES), max_size=len(ATTRIBUTES)))
def test_captions_name_each_attribute_with_a_digit(values: list[float]) -> None:
    caption = describe(torch.tensor(values))
    assert re.fullmatch(" ".join(f"{name} [0-9]" for name in ATTRIBUTES), caption)
    digits = [int(word) for word in caption.split()[1::2]]
    assert all(abs(digit - value) <= 0.5 for digit, value in zip(digits, values, strict=True))


def test_drift_is_what_the_drawings_have_more_of() -> None:
    sketch = strokes(0.4).expand(-1, 3, -1, -1) * 2 - 1
    photo = PHOTO.expand(1, 3, -1, -1)
    assert drift(sketch, photo, sketch, photo).abs().max() == 0
    darker = strokes(0.9).expand(2, 3, -1, -1) * 2 - 1
    change = dict(zip(ATTRIBUTES, drift(darker, photo.expand(2, -1, -1, -1), sketch, photo).tolist(), strict=True))
    assert change["ink"] > 0.5 and change["blacks"] > 0.5
    assert drift(sketch, photo, darker[:1], photo)[ATTRIBUTES.index("ink")] == pytest.approx(-change["ink"], abs=1e-5)
