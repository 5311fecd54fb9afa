"""Marks on paper: the small image operations out of which every procedural edit is composed.

All images are float32 in [0, 1]; a drawing is (H, W) with 1 = bare paper, a photo (H, W, 3) RGB. Lengths are in 128ths of
the width, so that a lesson looks the same at any size.
"""

from __future__ import annotations

import cv2
import numpy as np

Image = np.ndarray
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def grey(photo: Image) -> Image:
    return (photo @ LUMA).astype(np.float32)


def blur(image: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / 128) if sigma > 0 else image


def unit(image: Image) -> Image:
    return np.clip(image, 0, 1).astype(np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Image:
    """Gaussian noise of unit deviation, smooth over `sigma`."""
    field = blur(rng.standard_normal(shape).astype(np.float32), sigma)
    return field / (field.std() + 1e-6)


def stretch(image: Image, low: float = 2, high: float = 95) -> Image:
    """Percentiles `low` and `high` to black and white."""
    a, b = np.percentile(image, [low, high])
    return unit((image - a) / (b - a + 1e-3))


def xdog(image: Image, sigma: float, sharpness: float, threshold: float, slope: float) -> Image:
    """Extended difference of Gaussians (Winnemöller et al. 2012, eqs. 6–7), k = 1.6."""
    d = (1 + sharpness) * blur(image, sigma) - sharpness * blur(image, 1.6 * sigma)
    return unit(np.where(d >= threshold, 1.0, 1 + np.tanh(slope * (d - threshold))))


def outlines(image: Image, sigma: float, gain: float) -> Image:
    """Dark side of a difference of Gaussians: soft pencil lines."""
    return unit(1 - gain * np.maximum(blur(image, 1.6 * sigma) - blur(image, sigma), 0))


def dodge(image: Image, sigma: float, power: float) -> Image:
    """Colour dodge of a photo by its blurred negative: the darkroom pencil effect."""
    return unit(image / (1 - blur(1 - image, sigma) + 0.02)) ** np.float32(power)


def hatching(rng: np.random.Generator, tone: Image, angle: float, spacing: float, weight: float, wobble: float) -> Image:
    """Parallel strokes whose width grows as `tone` darkens."""
    y, x = np.mgrid[: tone.shape[0], : tone.shape[1]].astype(np.float32)
    across = (x * np.cos(angle) + y * np.sin(angle)) * 128 / tone.shape[1]
    phase = across / spacing + wobble * noise(rng, tone.shape, 6)
    ridge = 2 * np.abs(phase % 1 - 0.5)
    return unit((ridge - weight * (1 - tone) * 1.35) * 4 + 0.5)


def halftone(tone: Image, spacing: float) -> Image:
    y, x = np.mgrid[: tone.shape[0], : tone.shape[1]]
    a, b = (place * 128 / tone.shape[1] / 1.414 for place in (x + y, x - y))
    dots = np.cos(2 * np.pi * a / spacing) * np.cos(2 * np.pi * b / spacing)
    return unit((blur(tone, 1) + 0.35 * dots - 0.5) * 5 + 0.5)


def stipple(rng: np.random.Generator, tone: Image, size: float) -> Image:
    dots = unit((tone - 0.5) * 3 + 0.65 - 0.7 * noise(rng, tone.shape, size))
    return unit((dots - 0.5) * 3 + 0.5)


def over(drawing: Image, mask: Image | None) -> Image:
    """The drawing on the subject, bare paper around it."""
    return drawing if mask is None else 1 - (1 - drawing) * mask


def subject_mask(sketch: Image) -> Image | None:
    """Soft mask of the drawn subject, by flooding the paper from the border.

    Returns None where the outline leaks or the flood takes too little or too much.
    """
    ink = (sketch < 0.80).astype(np.uint8)
    height, width = sketch.shape
    centre = np.s_[int(0.4 * height) : int(0.7 * height), int(0.4 * width) : int(0.6 * width)]
    for size in (5, 9):
        closed = cv2.dilate(ink, np.ones((size, size), np.uint8))
        paper = np.pad(1 - closed, ((1, 0), (1, 1)), constant_values=1).astype(np.uint8)
        _, label = cv2.connectedComponents(paper, connectivity=4)
        outside = (label == label[0, 0])[1:, 1:-1].astype(np.uint8)
        mask = 1 - cv2.dilate(outside, np.ones((size - 2, size - 2), np.uint8))
        if 0.28 < mask.mean() < 0.9 and mask[centre].mean() > 0.95:
            return blur(mask.astype(np.float32), 1.0)
    return None


def line_weight(sketch: Image, kernel: int) -> Image:
    """Thicken (`kernel` > 0) or thin (`kernel` < 0) the lines by half of |kernel|."""
    size = sketch.shape[::-1]
    width = round(abs(kernel) * size[0] / 128)
    large = cv2.resize(sketch, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_CUBIC)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    large = cv2.erode(large, element) if kernel > 0 else cv2.dilate(large, element)
    return unit(cv2.resize(large, size, interpolation=cv2.INTER_AREA))
