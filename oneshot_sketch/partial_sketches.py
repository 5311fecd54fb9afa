"""Sketches that are not finished yet, and ones with strokes too many: of pixels and of pen strokes alike.

Ink only ever grows with completion: with the same draw, a pixel is nowhere lighter at a higher completion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.errors import InputError

PAPER = 0.9  # quantile of a sketch's pixels that is its paper
FAINT = 0.2  # of the darkest ink; what is fainter goes with the stroke next to it
DIRECTIONS = 4  # by which lines are taken apart at bends and crossings
LINES = 128  # a line is thickened and blurred by about side / LINES pixels


def latents_for(completion: float, max_predicted: int = 10) -> int:
    """How many latents a drawing so far complete is read into: max_predicted × completion, halves up, at least one."""
    return max(1, math.floor(max_predicted * completion + 0.5))


def partial(sketches: Tensor, completion: float | Tensor, generator: torch.Generator) -> Tensor:
    """Unfinished drawings of one subject, for training: `incomplete`, then `relined`.

    Args:
        sketches: (B, 1 or 3, H, W) float in [-1, 1], dark on light.
        completion: share of each sketch's ink that is left, in [0, 1]; one number, or (B,).
        generator: on the CPU; moves on by the same numbers whatever the completion.

    Returns:
        Like the sketches. At completion 1 all strokes are there; their width and blur still vary.

    Raises:
        InputError: pictures of another shape, or a completion out of range.
    """
    return relined(incomplete(sketches, completion, generator), generator)


def incomplete(sketches: Tensor, completion: float | Tensor, generator: torch.Generator) -> Tensor:
    """The same sketches before all was drawn; arguments and errors as of `partial`.

    Ink is taken apart into connected pieces of like direction, which stand in for strokes, and these are drawn one after the
    other, each from its one end: whole components first or strokes from anywhere, away from some point, and in every other
    sketch a random box last. At completion 1 the sketches are returned as they are.
    """
    _check(sketches)
    completions = torch.as_tensor(completion, dtype=torch.float32).expand(len(sketches))
    if not ((completions >= 0) & (completions <= 1)).all():
        raise InputError(f"completion is {completion}; it must be in [0, 1].")
    rngs = _rngs(len(sketches), generator)
    times = np.stack([_times(ink, rng) for ink, rng in zip(_ink(sketches), rngs, strict=True)])
    drawn = torch.from_numpy(times) <= completions[:, None, None]
    return torch.where(drawn[:, None].to(sketches.device), sketches, torch.maximum(sketches, _paper(sketches)))


def relined(sketches: Tensor, generator: torch.Generator) -> Tensor:
    """Lines thicker or thinner, then blurred, each sketch by a draw of its own; darker in, darker out.

    Args:
        sketches: (B, 1 or 3, H, W) float in [-1, 1].
    """
    _check(sketches)
    count, channels, height, width = sketches.shape
    radius = max(1, round(max(height, width) / LINES))
    widths, blurs = torch.rand(2, count, generator=generator).to(sketches)
    widths = 1.5 * widths - 0.5  # 1 is a line thicker by the radius on both sides, −½ one halfway to as much thinner
    padded = F.pad(sketches, [radius] * 4, mode="replicate")
    thick, thin = -F.max_pool2d(-padded, 2 * radius + 1, 1), F.max_pool2d(padded, 2 * radius + 1, 1)
    share = widths[:, None, None, None]
    lines = torch.where(share > 0, sketches.lerp(thick, share.clamp(min=0)), sketches.lerp(thin, (-share).clamp(min=0)))
    reach = 3 * radius
    offsets = torch.arange(-reach, reach + 1, device=sketches.device, dtype=sketches.dtype)
    kernels = torch.softmax(-0.5 * (offsets / (radius * blurs[:, None] + 1e-2)) ** 2, 1).repeat_interleave(channels, 0)
    flat = F.pad(lines.reshape(1, count * channels, height, width), [reach] * 4, mode="replicate")
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=count * channels)
    return F.conv2d(flat, kernels[:, None, :, None], groups=count * channels).view_as(sketches).clamp(-1, 1)


def render(strokes: Sequence[np.ndarray], completion: float, size: int, width: float = 1.5) -> Tensor:
    """Pen strokes in the order they were drawn, up to a share of their whole length; a dot is as long as the line is wide.

    Args:
        strokes: (n, 2) x and y each, the picture's sides at 0 and 1, from the upper left; n is at least 1.
        completion: in [0, 1].
        size: side of the picture, pixels.
        width: of the line, pixels.

    Returns:
        (1, 1, size, size) float32 in [-1, 1], black on white.

    Raises:
        InputError: a stroke of another shape or not finite, or a number out of range.
    """
    if not 0 <= completion <= 1 or size < 1 or width <= 0:
        raise InputError(
            f"a drawing needs a completion in [0, 1], a size and a width above 0, not {completion}, {size}, {width}."
        )
    points = [np.asarray(stroke, np.float64) for stroke in strokes]
    if any(p.ndim != 2 or p.shape[1] != 2 or not len(p) or not np.isfinite(p).all() for p in points):
        raise InputError("a stroke must be (n, 2), finite x and y of one point or more.")
    coverage = np.zeros((size, size), np.float32)
    for start, end in _drawn([p * size for p in points], completion, width):
        _draw_line(coverage, start, end, width)
    return torch.from_numpy(1 - 2 * coverage)[None, None]


def noise_strokes(sketches: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Strokes that belong to nothing, curves in the sketch's darkest tone.

    Args:
        sketches: (B, 1 or 3, H, W) float in [-1, 1], dark on light.
        share: of the sketch's own ink that they bring, before they cross or leave the picture; 0 leaves the sketches as they are.
        generator: on the CPU. With the same draw, a greater share only adds ink.

    Raises:
        InputError: pictures of another shape, or a share below 0.
    """
    _check(sketches)
    if not (0 <= share < math.inf):
        raise InputError(f"the share of noise strokes is {share}; it must be 0 or more.")
    rngs = _rngs(len(sketches), generator)
    size = max(sketches.shape[-2:])
    width = max(1.0, size / LINES)
    paper, dark = _paper(sketches), _quantile(sketches, 0.02)
    noisy = []
    for i, rng in enumerate(rngs):
        depth = float((paper[i] - dark[i]).mean())
        area = share * float((paper[i] - sketches[i]).clamp(min=0).mean(0).sum()) / depth if depth > 0 else 0.0
        strokes: list[np.ndarray] = []
        length = 0.0
        while length * width < area:
            strokes.append(_curve(rng))
            length += size * _lengths(strokes[-1]).sum() + width
        coverage = render(strokes, area / (length * width), size, width) if strokes else torch.ones(1, 1, size, size)
        coverage = (1 - coverage[0, :, : sketches.shape[-2], : sketches.shape[-1]].to(sketches)) / 2
        noisy.append(torch.minimum(sketches[i], sketches[i].lerp(dark[i].expand_as(sketches[i]), coverage)))
    return torch.stack(noisy)


def _times(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) ink → when each pixel is drawn, as the share of all ink that is then on the paper, in [0, 1]."""
    height, width = ink.shape
    inked = ink > FAINT * ink.max()
    if not inked.any():
        return np.zeros(ink.shape, np.float32)
    tangent = _directions(ink)
    strokes, components = np.zeros(ink.shape, np.int64), _connected(inked)
    for direction in range(DIRECTIONS):
        pieces = _connected(inked & (tangent == direction))
        strokes[pieces > 0] = pieces[pieces > 0] + strokes.max()

    y, x = np.nonzero(inked)
    stroke = strokes[y, x] - 1
    count = np.bincount(stroke)
    centres = np.stack([np.bincount(stroke, y / height), np.bincount(stroke, x / width)], 1) / count[:, None]
    # as many numbers of the same draw whatever the sketch, up to here
    scatter, by_component, boxed, *numbers = rng.random(9)
    point, corner, side = np.array(numbers[:2]), np.array(numbers[2:4]), 0.2 + 0.4 * np.array(numbers[4:6])
    low = corner * (1 - side)
    last = (boxed < 0.5) & ((centres >= low) & (centres <= low + side)).all(1)
    turn = scatter * rng.random(len(count)) + (1 - scatter) * np.linalg.norm(centres - point, axis=1)
    of_component = rng.random(components.max()) * (by_component < 0.5)
    angle = tangent[y, x] * math.pi / DIRECTIONS
    along = (x * np.cos(angle) + y * np.sin(angle)) * rng.choice([-1, 1], len(count))[stroke]
    order = np.lexsort((along, turn[stroke], of_component[components[y, x] - 1], last[stroke]))

    done = ink[y, x][order].astype(np.float64).cumsum()
    times = np.zeros(ink.shape, np.float32)
    times[y[order], x[order]] = done / done[-1]
    nearest: Any = ndimage.distance_transform_edt(~inked, return_distances=False, return_indices=True)
    return times[tuple(nearest)]


def _connected(inked: np.ndarray) -> np.ndarray:
    """(H, W) bool → (H, W) int, the number of each pixel's piece from 1 on, diagonals joined; 0 where there is none."""
    labels: Any = ndimage.label(inked, np.ones((3, 3)))
    return labels[0]


def _directions(ink: np.ndarray) -> np.ndarray:
    """(H, W) int in [0, DIRECTIONS): which way the line through each pixel runs, from the structure tensor."""
    gy, gx = np.gradient(ndimage.gaussian_filter(ink, 1, mode="nearest"))
    xx, yy, xy = (ndimage.gaussian_filter(product, 1, mode="nearest") for product in (gx * gx, gy * gy, gx * gy))
    across = 0.5 * np.arctan2(2 * xy, xx - yy)
    return np.round((across + math.pi / 2) / (math.pi / DIRECTIONS)).astype(np.int64) % DIRECTIONS


def _drawn(strokes: Sequence[np.ndarray], completion: float, width: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The straight pieces drawn so far, the last one as far as it got."""
    left = completion * sum(_lengths(stroke).sum() + width for stroke in strokes)
    for stroke in strokes:
        if left <= 0:
            return
        yield stroke[0], stroke[0]
        left -= width
        for (start, end), length in zip(pairwise(stroke), _lengths(stroke), strict=True):
            if left <= 0:
                return
            yield start, end if left >= length else start + (end - start) * (left / length)
            left -= length


def _draw_line(coverage: np.ndarray, start: np.ndarray, end: np.ndarray, width: float) -> None:
    """Darken (S, S) coverage in [0, 1] to what a line covers of each pixel: by the distance of its centre, so smooth."""
    reach = width / 2 + 1
    left, top = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
    right, bottom = np.maximum(np.ceil(np.maximum(start, end) + reach), 0).astype(int)
    window = coverage[top:bottom, left:right]
    y, x = np.ogrid[: window.shape[0], : window.shape[1]]
    dx, dy = x + left + 0.5 - start[0], y + top + 0.5 - start[1]
    way = end - start
    at = ((dx * way[0] + dy * way[1]) / max(way @ way, 1e-12)).clip(0, 1)
    distance = np.hypot(dx - at * way[0], dy - at * way[1])
    np.maximum(window, (width / 2 + 0.5 - distance).clip(0, 1), out=window, casting="same_kind")


def _curve(rng: np.random.Generator) -> np.ndarray:
    """(12, 2), a bent stroke of a tenth to four tenths of the side, which may leave the picture."""
    angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.4)
    start = rng.uniform(0, 1, 2)
    end = start + length * np.array([math.cos(angle), math.sin(angle)])
    bend = (start + end) / 2 + rng.normal(0, length / 3, 2)
    t = np.linspace(0, 1, 12)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end


def _lengths(stroke: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(stroke, axis=0), axis=1)


def _ink(sketches: Tensor) -> np.ndarray:
    """(B, H, W), 0 on paper."""
    return (_paper(sketches) - sketches).clamp(min=0).mean(1).float().cpu().numpy()


def _paper(sketches: Tensor) -> Tensor:
    return _quantile(sketches, PAPER)


def _quantile(sketches: Tensor, share: float) -> Tensor:
    """(B, C, 1, 1)"""
    return sketches.flatten(2).float().quantile(share, 2)[..., None, None].to(sketches)


def _rngs(count: int, generator: torch.Generator) -> list[np.random.Generator]:
    """One a sketch, so that no sketch's draw depends on its neighbours."""
    return [np.random.default_rng(seed) for seed in torch.randint(2**62, (count,), generator=generator).tolist()]


def _check(sketches: Tensor) -> None:
    if sketches.ndim != 4 or sketches.shape[1] not in (1, 3) or not len(sketches) or not sketches.is_floating_point():
        raise InputError(f"sketches must be (B, 1 or 3, H, W) float in [-1, 1], not {tuple(sketches.shape)} {sketches.dtype}.")
