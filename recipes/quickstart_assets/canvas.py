"""The picture's plane: its coordinates, and the fields and colours on it.

Lengths are in half heads: the eyes lie on y = 0, the chin on y = 1, the crown on y = −1; x to the right, y down and z
towards the camera. A field is (SIZE, SIZE) float32. Colours are linear RGB in [0, 1] while they are light and 8-bit sRGB
once they are picture.
"""

from __future__ import annotations

import cv2
import numpy as np

Image = np.ndarray
Points = np.ndarray  # (..., 2) of x, y
Colour = tuple[float, float, float]
Knots = list[tuple[float, float]]

SIZE = 1024  # pixels of the rendering
SPAN = 2.93  # half heads across the picture
EYES = 0.50  # height of the eyes in the picture
PIXEL = SPAN / SIZE


def grid() -> tuple[Image, Image]:
    steps = (np.arange(SIZE, dtype=np.float32) + 0.5) * PIXEL
    return np.meshgrid(steps - SPAN / 2, steps - EYES * SPAN)


def to_pixels(points: Points) -> Points:
    return np.stack([points[..., 0] + SPAN / 2, points[..., 1] + EYES * SPAN], -1) / PIXEL - 0.5


def to_sixteenths(points: Points) -> Points:
    """Pixels in OpenCV's fixed point, with four bits of fraction."""
    return np.round(to_pixels(points) * 16).astype(np.int32)


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur, `sigma` in half heads."""
    reach = sigma / PIXEL
    if reach < 6:
        return cv2.GaussianBlur(image, (0, 0), reach) if reach > 0.2 else image
    step = int(reach // 3)  # wide blurs are made on a reduced copy
    small = cv2.resize(image, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), reach / step), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def noise(rng: np.random.Generator, sigma: float) -> Image:
    """Gaussian noise of unit deviation, smooth over `sigma` half heads."""
    step = max(1, int(sigma / PIXEL // 3))
    size = SIZE // step + 1
    smooth = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), max(sigma / PIXEL / step, 0.3))
    return cv2.resize(smooth / smooth.std(), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def ramp(value: Image, low: float, high: float) -> Image:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def bump(x: Image, y: Image, cx: float, cy: float, sx: float, sy: float, turn: float = 0.0) -> Image:
    """A Gaussian hill of height 1."""
    c, s = np.cos(turn), np.sin(turn)
    u, v = (c * (x - cx) + s * (y - cy)) / sx, (c * (y - cy) - s * (x - cx)) / sy
    return np.exp(-0.5 * (u * u + v * v), dtype=np.float32)


def ball(x: Image, y: Image, cx: float, cy: float, rx: float, ry: float) -> Image:
    """A rounder, steeper hill than `bump`."""
    return np.exp(-((((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) ** 1.5), dtype=np.float32)


def curve(at: Image, knots: Knots, softness: float = 0.04) -> Image:
    """Piecewise linear function through (position, value) knots, rounded over `softness`."""
    where, value = np.array(knots, np.float32).T
    dense = np.arange(where[0] - 0.5, where[-1] + 0.5, 0.005)
    table = np.interp(dense, where, value).astype(np.float32)[None]
    table = cv2.GaussianBlur(table, (0, 0), sigmaX=softness / 0.005, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)[0]
    return np.interp(at, dense, table).astype(np.float32)


def polygon(points: Knots, softness: float) -> Image:
    """Filled polygon with a soft border."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(mask, [to_sixteenths(np.array(points))], 1.0, cv2.LINE_8, 4)
    return blur(mask, softness)


def linear(colour: Colour | Image) -> Image:
    """sRGB in [0, 1] → linear light, by a plain gamma."""
    return (np.asarray(colour, np.float32) ** 2.2).astype(np.float32)


def display(light: Image) -> Image:
    """Linear light → 8-bit sRGB, with a soft shoulder for the highlights."""
    shown = np.where(light > 0.6, 0.6 + 0.4 * np.tanh((light - 0.6) / 0.4), light)
    return np.round(255 * np.clip(shown, 0, 1) ** (1 / 2.2)).astype(np.uint8)
