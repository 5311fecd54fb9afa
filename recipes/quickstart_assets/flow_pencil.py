"""A soft-pencil drawing of a photo by line integral convolution: the strokes follow the form.

Noise is smeared along the edge-tangent flow — the smoothed structure tensor's minor eigenvector — so that it turns into
strokes, and each layer of strokes is cut by the photo's tone: long pale ones for the half-tones, shorter and darker
ones for the shadows. Soft contours, integrated along the same flow, hold the form together. Aligned pixel to pixel.

All images are float32 in [0, 1]; a drawing is (H, W), a photo (H, W, 3) RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Image = np.ndarray
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
PAPER, GRAPHITE = 0.96, 0.14  # off-white, and the darkest that the pencil gives
SCALE = 3  # the drawing is made this many times larger than the photo, and then reduced


@dataclass(frozen=True)
class Stroke:
    """One layer of strokes; lengths and widths in pixels of the photo."""

    length: float
    width: float
    start: float  # darkness of the photo at which the first strokes appear
    full: float  # darkness at which they close into a solid tone
    weight: float  # graphite of one stroke
    turn: float = 0.0  # radians between the strokes and the flow


LAYERS = (
    Stroke(length=18, width=0.70, start=0.03, full=0.75, weight=0.20),
    Stroke(length=14, width=0.60, start=0.12, full=0.95, weight=0.26, turn=0.30),
    Stroke(length=11, width=0.50, start=0.34, full=1.00, weight=0.38, turn=-0.12),
    Stroke(length=7, width=0.45, start=0.62, full=1.05, weight=0.45),
)


def draw(photo: Image, mask: Image, seed: int = 0) -> Image:
    """Pencil drawing (H, W) of the subject under `mask` (H, W); the ground stays bare paper."""
    rng = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    size = (width * SCALE, height * SCALE)
    large = np.clip(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    subject = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)

    flow = tangent_flow(large, 2.2 * SCALE, 8.0 * SCALE)
    reach = finished(rng, subject)
    dark = darkness(large, subject)
    graphite = 0.13 * blur(dark * reach, 1.2 * SCALE)  # rubbed in with a stump
    for layer in LAYERS:
        graphite = 1 - (1 - graphite) * (1 - strokes(rng, flow, dark * reach, layer))
    line = contours(large * subject[..., None] + 1 - subject[..., None], flow)
    graphite = 1 - (1 - graphite) * (1 - line * np.sqrt(reach) * pressure(rng, flow))
    graphite = unit(graphite * tooth(rng, graphite.shape))
    graphite = cv2.resize(graphite, (width, height), interpolation=cv2.INTER_AREA)
    return unit(PAPER + (GRAPHITE - PAPER) * graphite)


# --- the flow -------------------------------------------------------------------------------------------------------


def structure_tensor(image: Image) -> tuple[Image, Image, Image]:
    """xx, xy and yy of the gradient's outer product, summed over the colours."""
    gx, gy = cv2.Scharr(image, cv2.CV_32F, 1, 0), cv2.Scharr(image, cv2.CV_32F, 0, 1)
    return (gx * gx).sum(2), (gx * gy).sum(2), (gy * gy).sum(2)


def tangent_flow(image: Image, near: float, far: float) -> Image:
    """Unit tangents (H, W, 2) of the structure tensor smoothed over `near`, and over `far` where that one is weak."""
    sharp = [blur(part, near / 4) for part in structure_tensor(blur(image, near / 3))]
    total = np.sqrt(sharp[0] + sharp[2]) + 1e-6
    even = [part / total for part in sharp]  # weak edges count as well, strong ones do not drown them
    xx, xy, yy = (blur(part, near) + 0.15 * blur(part, far) for part in even)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def turned(flow: Image, angle: float) -> Image:
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.dstack([c * flow[..., 0] - s * flow[..., 1], s * flow[..., 0] + c * flow[..., 1]])


def convolve_along(flow: Image, image: Image, length: float) -> Image:
    """Line integral convolution: the mean of `image` along the streamline through every pixel (Cabral & Leedom 1993)."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    steps = max(1, round(length / 2))
    total, weights = image.copy(), 1.0
    for sign in (1, -1):
        px, py, along = x.copy(), y.copy(), sign * flow
        for step in range(1, steps + 1):
            px, py = px + along[..., 0], py + along[..., 1]
            here = cv2.remap(flow, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            along = here * np.where((here * along).sum(2) < 0, -1, 1).astype(np.float32)[..., None]  # no sign of its own
            weight = float(np.cos(0.5 * np.pi * step / (steps + 1)) ** 2)
            total += weight * cv2.remap(image, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            weights += weight
    return total / weights


# --- the marks ------------------------------------------------------------------------------------------------------


def strokes(rng: np.random.Generator, flow: Image, dark: Image, layer: Stroke) -> Image:
    """Graphite of one layer: smeared noise, cut so that the share of stroked paper grows with `dark`."""
    grain = convolve_along(turned(flow, layer.turn), noise(rng, dark.shape, layer.width * SCALE), layer.length * SCALE)
    rank = uniform(grain)
    share = unit((dark - layer.start) / (layer.full - layer.start))
    mark = unit((share - rank) * 2.6 + 0.35) * unit(share * 8)
    return layer.weight * mark * (0.75 + 0.5 * share)


def contours(image: Image, flow: Image) -> Image:
    """Soft dark lines: a difference of Gaussians across the edges, averaged along the flow."""
    tone = grey(image)
    ridge = sum(gain * (blur(tone, 1.7 * s * SCALE) - blur(tone, s * SCALE)) for s, gain in ((0.7, 6.5), (1.6, 2.4)))
    smooth = convolve_along(flow, np.asarray(ridge, np.float32), 6 * SCALE)
    return 0.85 * np.tanh(np.maximum(smooth - 0.045, 0) * 2.2).astype(np.float32)


def pressure(rng: np.random.Generator, flow: Image) -> Image:
    """Slow changes of the hand's pressure along a contour."""
    return unit(0.8 + 0.22 * blur(noise(rng, flow.shape[:2], 4 * SCALE), SCALE))


def tooth(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    """What the paper's grain lets through."""
    return unit(0.92 + 0.10 * noise(rng, shape, 0.45 * SCALE)) * 1.06


# --- tone -----------------------------------------------------------------------------------------------------------


def darkness(photo: Image, mask: Image) -> Image:
    """Darkness to be drawn: the photo's, stretched on the subject, with light half-tones kept light."""
    tone = blur(grey(photo), 0.5 * SCALE)
    low, high = np.percentile(tone[mask > 0.5], [3, 99])
    dark = 1 - unit((tone - low) / (high - low + 1e-3))
    local = tone - blur(tone, 9 * SCALE)
    return unit(0.92 * dark**1.1 - 1.2 * local * unit(4 * dark))


def finished(rng: np.random.Generator, mask: Image) -> Image:
    """How far the drawing is worked out: 1 on the head, ragged and fading towards the lower border, 0 on the ground."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot((x / width - 0.5) / 0.50, (y / height - 0.47) / 0.52)
    away += 0.05 * noise(rng, mask.shape, 0.03 * width)
    return unit((1.02 - away) / 0.22) * blur(mask, 0.6 * SCALE)


def uniform(image: Image) -> Image:
    """The image's values replaced by their ranks in [0, 1]."""
    ordered = np.sort(image, axis=None)[:: max(1, image.size // 4096)]
    return np.interp(image, ordered, np.linspace(0, 1, len(ordered))).astype(np.float32)


def grey(photo: Image) -> Image:
    return (photo @ LUMA).astype(np.float32)


def blur(image: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image


def unit(image: Image) -> Image:
    return np.clip(image, 0, 1).astype(np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Image:
    """Gaussian noise of unit deviation, smooth over `sigma` pixels."""
    field = blur(rng.standard_normal(shape).astype(np.float32), sigma)
    return field / (field.std() + 1e-6)
