"""Pictures without a face: textures made of numbers, faceless photographs, and what is left of portraits without their face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from oneshot_sketch.images import open_image

if TYPE_CHECKING:
    from face_scenes import Sources

SIDE = 128
# Of the pictures that come with scikit-image; its others are kept for counting false alarms.
FACELESS = (
    "brick.png cell.png coins.png grass.png gravel.png hubble_deep_field.jpg ihc.png motorcycle_left.png page.png retina.jpg "
    "rocket.jpg text.png"
).split()


class Backgrounds:
    def __init__(self, sources: Sources, faceless: Path) -> None:
        self.sources = sources
        self.faceless = [np.asarray(open_image(faceless / name)) for name in FACELESS]
        self.kinds = (shapes, fractal, stripes, plain, self.photograph, self.beside, self.smeared, self.shuffled, self.magnified)
        self.odds = (0.10, 0.08, 0.05, 0.13, 0.14, 0.21, 0.12, 0.09, 0.08)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(128, 128, 3) uint8 RGB; a quarter of them as a drawing."""
        picture = self.kinds[rng.choice(len(self.kinds), p=self.odds)](rng)
        if rng.random() < 0.2:
            picture = cv2.addWeighted(picture, 0.6, self.kinds[rng.choice(3)](rng), 0.4, 0)
        return sketched(rng, picture) if rng.random() < 0.25 else picture

    def photograph(self, rng: np.random.Generator) -> np.ndarray:
        picture = self.faceless[rng.integers(len(self.faceless))]
        side = int(rng.uniform(0.2, 1) * min(picture.shape[:2]))
        top, left = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
        cut = cv2.resize(picture[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(np.rot90(cut, int(rng.integers(4))))

    def beside(self, rng: np.random.Generator) -> np.ndarray:
        """The largest of some windows that keep clear of the face: hair, clothes, walls."""
        picture, points, size = self._source(rng)
        height, width = picture.shape[:2]
        best = (0, 0, 12)
        for _ in range(12):
            side = int(rng.integers(16, min(height, width)))
            left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
            near = np.clip(points, (left, top), (left + side, top + side)) - points
            if side > best[2] and np.linalg.norm(near, axis=1).min() > 0.3 * size:
                best = (left, top, side)
        left, top, side = best
        if side == 12:
            return fractal(rng)
        return cv2.resize(picture[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)

    def smeared(self, rng: np.random.Generator) -> np.ndarray:
        """A portrait out of focus until nobody is there."""
        picture, _, size = self._source(rng)
        few = np.maximum(np.array(picture.shape[1::-1]) / (size * rng.uniform(0.9, 2)), 2).astype(int).tolist()
        smeared = cv2.resize(picture, (few[0], few[1]), interpolation=cv2.INTER_AREA)
        smeared = cv2.resize(smeared, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        grain = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE, 1), np.float32), (0, 0), rng.uniform(0.4, 3))[..., None]
        return np.clip(smeared + grain / (grain.std() + 1e-6) * rng.uniform(0, 25), 0, 255).astype(np.uint8)

    def shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """A portrait cut into tiles too small for a face, and mixed."""
        picture, _, size = self._source(rng)
        tile = max(4, int(rng.uniform(0.4, 0.8) * size))
        rows, columns = (n // tile for n in picture.shape[:2])
        tiles = picture[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
        tiles = rng.permutation(tiles.reshape(-1, tile, tile, 3)).reshape(rows, columns, tile, tile, 3)
        whole = np.ascontiguousarray(tiles.swapaxes(1, 2).reshape(rows * tile, columns * tile, 3))
        return cv2.resize(whole, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def magnified(self, rng: np.random.Generator) -> np.ndarray:
        """A part of a face that is too small to be one: an eye, a cheek, a mouth."""
        picture, points, size = self._source(rng)
        side = max(8, int(rng.uniform(0.5, 0.8) * size))
        centre = points[rng.integers(5)] + rng.normal(0, 0.15 * size, 2)
        left, top = np.clip(centre - side / 2, 0, np.array(picture.shape[1::-1]) - side).astype(int)
        return cv2.resize(picture[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)

    def _source(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        row = int(rng.integers(len(self.sources.sizes)))
        width, height = self.sources.sizes[row]
        points = self.sources.points[row]
        across, down = np.linalg.norm(points[1] - points[0]), np.linalg.norm(points[3:].mean(0) - points[:2].mean(0))
        return np.asarray(self.sources.pictures[row, :height, :width]), points, float(max(across, down))


def fractal(rng: np.random.Generator) -> np.ndarray:
    """Noise whose spectrum falls as in photographs, in related colours."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    planes = rng.standard_normal((3, SIDE, SIDE), np.float32)
    planes[1:] = planes[:1] + rng.uniform(0, 0.8) * planes[1:]
    field = np.fft.irfft2(np.fft.rfft2(planes) / frequency ** rng.uniform(0.8, 1.8), s=(SIDE, SIDE)).transpose(1, 2, 0)
    field = field / (field.std() + 1e-6) * rng.uniform(10, 60) + rng.uniform(60, 200, 3)
    return np.clip(field, 0, 255).astype(np.uint8)


def shapes(rng: np.random.Generator) -> np.ndarray:
    """Ellipses, boxes and lines on a gradient: eyes and mouths must be more than blobs."""
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None] * rng.uniform(-90, 90, 3) + rng.uniform(40, 230, 3)
    canvas = np.ascontiguousarray(np.clip(np.broadcast_to(ramp, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(2, 24))):
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        (x, y), (a, b) = rng.integers(0, SIDE, 2).tolist(), rng.integers(2, 45, 2).tolist()
        filled = -1 if rng.random() < 0.6 else int(rng.integers(1, 4))
        kind = rng.random()
        if kind < 0.45:
            cv2.ellipse(canvas, (x, y), (a, b), float(rng.uniform(0, 180)), 0, 360, colour, filled, cv2.LINE_AA)
        elif kind < 0.7:
            cv2.rectangle(canvas, (x, y), (x + a, y + b), colour, filled)
        else:
            end = rng.integers(0, SIDE, 2).tolist()
            cv2.line(canvas, (x, y), (end[0], end[1]), colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    return canvas


def plain(rng: np.random.Generator) -> np.ndarray:
    """The wall of a studio, often white."""
    colour = rng.uniform(200, 255) if rng.random() < 0.4 else rng.uniform(0, 255, 3)
    slope = np.linspace(-1, 1, SIDE, dtype=np.float32)[:, None, None] * rng.normal(0, 12)
    return np.clip(np.broadcast_to(slope + colour, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def stripes(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 40)
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    if rng.random() < 0.5:
        wave = wave * np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / (period * rng.uniform(0.5, 2)))
    wave = np.clip(wave * rng.uniform(1, 6), -1, 1)[..., None] / 2 + 0.5
    return (wave * rng.integers(0, 256, 3) + (1 - wave) * rng.integers(0, 256, 3)).astype(np.uint8)


def sketched(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Soft dark lines on paper, with some of the tone."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    sigma = rng.uniform(0.6, 1.6)
    lines = np.maximum(cv2.GaussianBlur(grey, (0, 0), 1.6 * sigma) - cv2.GaussianBlur(grey, (0, 0), sigma), 0)
    drawing = np.clip(1 - rng.uniform(8, 28) * lines, 0, 1) * (1 - rng.uniform(0, 0.7) * (1 - grey))
    return np.repeat((drawing * 255).astype(np.uint8)[..., None], 3, axis=2)
