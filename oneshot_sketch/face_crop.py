"""The square around a face that FFHQ's pictures show, cut out of a photo and laid back into it.

FFHQ's recipe (Karras et al. 2019) places the square by dlib's 68 landmarks, of which it uses the centres of the eyes and the
corners of the mouth alone. Those are among the five points here, so its equations stand as they are; what differs is the
finder (docs/systems/sketch_prior.md says by how much).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.landmarks import five_points

MARGIN = 4  # pixels around the square that its interpolation may read


@dataclass(frozen=True)
class FaceCrop:
    """A turned square of a photo.

    Attributes:
        origin: (2,) float64, its upper left corner in pixels of the photo, whose own corner is (0, 0).
        across: (2,) float64, from there to its upper right corner; its left side is this turned by a right angle.
        size: width and height of the photo.
    """

    origin: np.ndarray
    across: np.ndarray
    size: tuple[int, int]

    @classmethod
    def around(cls, points: ArrayLike, size: tuple[int, int]) -> FaceCrop:
        """The square that FFHQ's recipe puts around a face.

        Its side is the larger of 4 times the distance of the eyes and 3.6 times that from eyes to mouth, its direction the
        mean of the eyes' line and the normal of the line from eyes to mouth, its centre a tenth of the way to the mouth.

        Args:
            points: (5, 2), as `landmarks.five_points` has them, eyes being their centres.
            size: width and height of the photo.

        Raises:
            InputError: points that are malformed, or no face.
        """
        points = five_points(points)
        eyes = points[:2].mean(0)
        apart, down = points[1] - points[0], points[3:].mean(0) - eyes
        half = apart - _turned(down)
        half *= max(2.0 * np.hypot(*apart), 1.8 * np.hypot(*down)) / np.hypot(*half)
        centre = eyes + 0.1 * down + 0.5
        return cls(centre - half - _turned(half), 2 * half, size)

    @property
    def side(self) -> float:
        """Length of its sides, in pixels of the photo."""
        return float(np.hypot(*self.across))

    def cut(self, photo: Image.Image, side: int) -> Tensor:
        """The square of an upright RGB photo, (1, 3, side, side) float32 in [-1, 1].

        Where the square leaves the photo, the photo is continued as its mirror image.
        """
        if photo.size != self.size:
            raise ValueError(f"the photo is {photo.size}, the crop was made for {self.size}.")
        corners = self.origin + np.array([(u, v) for u in (0, 1) for v in (0, 1)]) @ self._basis()
        margin = MARGIN * max(1.0, self.side / side)
        low = np.clip(np.floor(corners.min(0) - margin), 0, np.array(self.size) - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0) + margin), low + 1, self.size).astype(int)
        region = photo.crop((*low.tolist(), *high.tolist()))
        if self.side > side:  # bicubic sampling reads sixteen pixels, so shrinking must average first
            smaller = np.maximum(np.round((high - low) * side / self.side), 1).astype(int).tolist()
            region = region.resize((smaller[0], smaller[1]), Image.Resampling.LANCZOS, reducing_gap=3.0)
        steps = (np.arange(side) + 0.5) / side
        v, u = np.meshgrid(steps, steps, indexing="ij")
        where = (self.origin + np.stack([u, v], -1) @ self._basis() - low) / (high - low)
        pixels = torch.from_numpy(np.array(region)).permute(2, 0, 1)[None].float() / 127.5 - 1
        return _sample(pixels, where, "bicubic", "reflection").clamp(-1, 1)

    def lay_back(self, plane: Tensor, size: tuple[int, int], fill: float) -> Tensor:
        """What is known of the square, in the photo's frame.

        Args:
            plane: (1, C, s, s) float, of the square.
            size: width and height to give, the whole photo's; another shape than the photo's stretches.
            fill: value outside of the square.

        Returns:
            (1, C, height, width), linearly interpolated.
        """
        step = plane.shape[-1] / self.side * np.array(self.size) / size  # pixels of the plane that fall into one
        if step.min() > 1:
            smaller = max(1, round(plane.shape[-1] / step.min()))
            plane = F.interpolate(plane, (smaller, smaller), mode="bilinear", antialias=True)
        x, y = ((np.arange(n) + 0.5) * full / n for n, full in zip(size, self.size, strict=True))
        v, u = np.meshgrid(y, x, indexing="ij")
        where = (np.stack([u, v], -1) - self.origin) @ np.linalg.inv(self._basis())
        inside = torch.from_numpy(((where >= 0) & (where <= 1)).all(-1)).to(plane.device)
        return torch.where(inside, _sample(plane, where, "bilinear", "border"), fill)

    def _basis(self) -> np.ndarray:
        return np.stack([self.across, _turned(self.across)])


def _turned(vector: np.ndarray) -> np.ndarray:
    """By a right angle, from rightwards to downwards."""
    return np.array([-vector[1], vector[0]])


def _sample(plane: Tensor, where: np.ndarray, mode: str, padding: str) -> Tensor:
    """(1, C, h, w) at (H, W, 2) x and y in [0, 1] of its sides."""
    grid = torch.from_numpy(2 * where - 1).to(plane)[None]
    return F.grid_sample(plane, grid, mode, padding, align_corners=False)
