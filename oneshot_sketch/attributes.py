"""A sketch's look in ten numbers, and those numbers in words.

`mini` was taught these words: "paper 9 ink 3 …" is a caption it obeys, so measuring a user's sketch gives a
first instruction for free. What is wanted, though, is the look of a hand, not of one sitter: `typical` tells the
two apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ATTRIBUTES = ("paper", "ink", "blacks", "midtones", "grain", "lines", "tone", "shading", "background", "face")
LEVELS = 10
_SIZE = 128
# Of a portrait, dark in the photo and inked by the artist: mean over FS2K styles 0 and 1.
_DARK_SHARE = 0.22
# The value of each attribute at level 0 and at level 9.
_RANGE = torch.tensor(
    [
        [0.50, 1.00],  # paper: 95th percentile of brightness
        [0.00, 0.55],  # ink: mean darkness
        [0.00, 0.45],  # blacks: share darker than .65
        [0.00, 0.75],  # midtones: share with darkness between .15 and .65
        [0.00, 0.16],  # grain: deviation of detail finer than σ = 1
        [0.00, 0.17],  # lines: deviation of detail between σ = 1 and σ = 3
        [0.00, 0.33],  # tone: deviation of what is coarser than σ = 4
        [-0.4, 1.00],  # shading: correlation of coarse tone with the photo's
        [0.00, 0.60],  # background: darkness of the two upper corners
        [0.00, 0.60],  # face: darkness of the centre
    ]
)


def measure(sketch: Tensor, photo: Tensor) -> Tensor:
    """Ten attributes of aligned sketches, as real-valued levels.

    Args:
        sketch: (B, 1 or 3, H, W) float32 in [-1, 1].
        photo: (B, 3, H, W) float32 in [-1, 1], the photos they were drawn from.

    Returns:
        (B, 10) float32 in [0, 9], in the order of `ATTRIBUTES`; linear in the measured quantity.
    """
    t, g = (_grey(image) for image in (sketch, photo))
    dark = 1 - t
    fine, mid, coarse = (_blur(t, sigma) for sigma in (1.0, 3.0, 4.0))
    ink, blacks, midtones = _darkness(dark)
    values = torch.stack(
        [
            t.flatten(1).quantile(0.95, dim=1),
            ink.mean((1, 2, 3)),
            blacks.mean((1, 2, 3)),
            midtones.mean((1, 2, 3)),
            (t - fine).std((1, 2, 3)),
            (fine - mid).std((1, 2, 3)),
            coarse.std((1, 2, 3)),
            _correlation(coarse, _blur(g, 4.0)),
            _corners(dark).mean((1, 2, 3)),
            dark[..., 40:95, 40:95].mean((1, 2, 3)),
        ],
        dim=1,
    )
    low_, high_ = _RANGE.to(values).unbind(1)
    return ((values - low_) / (high_ - low_) * (LEVELS - 1)).clamp(0, LEVELS - 1)


def typical(sketch: Tensor, photo: Tensor) -> Tensor:
    """The levels that the same hand would reach on a typical portrait.

    How dark a sketch is depends on how much dark hair its sitter has. The inked part of the photo's darkness is
    measured apart and rescaled to `_DARK_SHARE` of the picture, its usual share; darkness that the artist left white
    (a wall) does not count, nor does hair that hangs into the upper corners count as background. Within one hand this
    halves the variance of ink, blacks and background from sitter to sitter (docs/benchmarks.md).

    Args, returns: as `measure`.
    """
    levels = measure(sketch, photo)
    dark, shade = (1 - _grey(image) for image in (sketch, photo))
    inked = ((_blur(shade, 2.0) > 0.65) & (_blur(dark, 4.0) > 0.15)).float()
    share = inked.mean((1, 2, 3))
    rescaled = ((_DARK_SHARE + 0.1) / (share + 0.1)).clamp(0.3, 1.5)
    low, high = _RANGE.to(levels).unbind(1)
    for name, quantity in zip(("ink", "blacks", "midtones"), _darkness(dark), strict=True):
        i = ATTRIBUTES.index(name)
        extra = (quantity * inked).mean((1, 2, 3)) * (rescaled - 1)
        levels[:, i] += extra / (high[i] - low[i]) * (LEVELS - 1)
    levels[:, ATTRIBUTES.index("tone")] *= (_spread(share * rescaled) / _spread(share)).sqrt()
    free = 1 - _corners(inked)
    paper, background = (ATTRIBUTES.index(name) for name in ("paper", "background"))
    pale = 1 - (low[paper] + levels[:, paper] / (LEVELS - 1) * (high[paper] - low[paper]))
    wall = (_corners(dark) * free).sum((1, 2, 3)) / free.sum((1, 2, 3)).clamp_min(1)
    wall = torch.where(free.mean((1, 2, 3)) > 0.1, wall, pale)
    levels[:, background] = wall / high[background] * (LEVELS - 1)
    return levels.clamp(0, LEVELS - 1)


def drift(drawn: Tensor, photos: Tensor, sketch: Tensor, photo: Tensor) -> Tensor:
    """How the look of what an instruction draws of other photos differs from the look of the pair it was learned from.

    Far from nothing, the pair says little about its hand, or the instruction little about the pair.

    Args:
        drawn, photos: (B, 3, H, W) float32 in [-1, 1].
        sketch, photo: (N, 3, H, W) float32 in [-1, 1], of the pairs.

    Returns:
        (10,) float32 in [-9, 9], in levels and the order of `ATTRIBUTES`; positive where the drawings have more.
    """
    return typical(drawn, photos).mean(0) - typical(sketch, photo).mean(0)


def describe(levels: Tensor) -> str:
    """One row of `measure` → the caption "paper 9 ink 3 …", each level rounded."""
    return " ".join(f"{name} {round(value)}" for name, value in zip(ATTRIBUTES, levels.tolist(), strict=True))


def _darkness(dark: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ink, blacks and midtones, pixel by pixel."""
    return dark, (dark > 0.65).float(), ((dark > 0.15) & (dark <= 0.65)).float()


def _spread(share: Tensor) -> Tensor:
    """Variance of two tones in shares p and 1 − p, and of what else there is in a face."""
    return share * (1 - share) + 0.05


def _corners(image: Tensor) -> Tensor:
    """The two upper corners, 24 × 16 pixels each, side by side."""
    return torch.cat([image[..., :24, :16], image[..., :24, -16:]], -1)


def _grey(image: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] → (B, 1, 128, 128) in [0, 1]."""
    weights = image.new_tensor([0.299, 0.587, 0.114] if image.shape[1] == 3 else [1.0])
    grey = (image * weights.view(1, -1, 1, 1)).sum(1, keepdim=True) / 2 + 0.5
    if grey.shape[-2:] != (_SIZE, _SIZE):
        grey = F.interpolate(grey, (_SIZE, _SIZE), mode="bilinear", antialias=True)
    return grey.clamp(0, 1)


def _blur(image: Tensor, sigma: float) -> Tensor:
    radius = int(3 * sigma + 0.5)
    x = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    padded = F.pad(image, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    return (a * b).mean(1) / (a.std(1) * b.std(1) + 1e-3)
