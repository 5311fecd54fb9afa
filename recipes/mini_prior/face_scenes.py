"""Scenes for the face finder, composed on the fly: none to three faces of any size, place and light, photographed or drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage
from backgrounds import Backgrounds

CANVAS = 128
PADDING = 127  # the grey around a picture that is not square
MIRRORED = [1, 0, 2, 4, 3]
SHARES = {"ffhq": 0.27, "congress": 0.15, "utkface": 0.16, "fs2k": 0.08, "fs2k sketch": 0.14, "procedural": 0.20}
DRAWN = ("fs2k sketch", "procedural")
SMALLEST = 5.0


@dataclass(frozen=True)
class Sources:
    """What face_sources.py wrote, one side of its split.

    Attributes:
        pictures: (N, 144, 144, 3) uint8 RGB, empty right and below.
        sizes: (N, 2) width and height therein.
        points: (N, 5, 2) float32.
        origins: (N,) index into `ORIGINS`.
        odds: (N,) of being drawn from; turned heads, which are rare, up to thirteen times those of the others.
    """

    pictures: np.ndarray
    sizes: np.ndarray
    points: np.ndarray
    origins: np.ndarray
    odds: np.ndarray

    @classmethod
    def read(cls, folder: Path, held_out: bool) -> Sources:
        with np.load(folder / "faces.npz") as faces:
            rows = np.flatnonzero(faces["held_out"] == held_out)
            sizes, points, origins = (faces[key][rows] for key in ("sizes", "points", "origins"))
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")[rows]
        odds = 1 + 12 * np.minimum(np.abs(turn(points)) / 0.3, 1) ** 2
        for k, share in enumerate(SHARES.values()):
            odds[origins == k] *= share / max(odds[origins == k].sum(), 1e-9)
        return cls(pictures, sizes, points, origins, odds / odds.sum())

    def drawn(self, row: int) -> bool:
        return list(SHARES)[self.origins[row]] in DRAWN


def turn(points: np.ndarray) -> np.ndarray:
    """(N, 5, 2) → (N,) how far the nose lies beside the middle of the face, in reaches."""
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    down = mouth - eyes
    nose = points[:, 2] - eyes
    return (nose[:, 0] * down[:, 1] - nose[:, 1] * down[:, 0]) / np.linalg.norm(down, axis=1) / reach(points)


def reach(points: np.ndarray) -> np.ndarray:
    across = np.linalg.norm(points[..., 1, :] - points[..., 0, :], axis=-1)
    return np.maximum(across, np.linalg.norm(points[..., 3:, :].mean(-2) - points[..., :2, :].mean(-2), axis=-1))


@dataclass(frozen=True)
class Scene:
    """A picture (128, 128, 3) uint8 RGB and its faces: points (N, 5, 2) float32 in pixels and drawn (N,) bool."""

    picture: np.ndarray
    points: np.ndarray
    drawn: np.ndarray


class Scenes:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.backgrounds = Backgrounds(sources, Path(skimage.__file__).parent / "data")

    def scene(self, rng: np.random.Generator) -> Scene:
        kind = rng.random()
        if kind < 0.20:
            canvas, faces = self.backgrounds.draw(rng), []
        elif kind < 0.68:
            canvas, faces = self.portrait(rng)
        else:
            canvas, faces = self.company(rng)
        points = np.array([p for p, _ in faces], np.float32).reshape(-1, 5, 2)
        drawn = np.array([d for _, d in faces], bool)
        canvas = letterboxed(rng, canvas, points)
        if rng.random() < 0.5:
            canvas, points = canvas[:, ::-1], points[:, MIRRORED]
            points[..., 0] = CANVAS - 1 - points[..., 0]
        return Scene(photographed(rng, np.ascontiguousarray(canvas), reach(points).min(initial=30.0)), points, drawn)

    def portrait(self, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[np.ndarray, bool]]]:
        """One picture with its own background, near the framing of a second look or anywhere."""
        row = int(rng.choice(len(self.sources.odds), p=self.sources.odds))
        if rng.random() < 0.5:
            size, angle, centre = rng.uniform(24, 38), rng.normal(0, 5), 63.5 + rng.normal(0, 4, 2)
        else:
            size, angle = np.exp(rng.uniform(np.log(8), np.log(50))), np.clip(rng.normal(0, 14), -35, 35)
            slack = max(CANVAS / 2 - 0.9 * size, 2)
            centre = 63.5 + rng.uniform(-slack, slack, 2)
        warped, inside, points = self.warped(rng, row, size, angle, centre)
        if rng.random() < 0.45:
            ground = np.empty_like(warped)
            ground[:] = PADDING if rng.random() < 0.4 else rng.integers(0, 256, 3)
        else:
            ground = self.backgrounds.draw(rng)
        return blend(ground, warped, inside), [(points, self.sources.drawn(row))] if within(points) else []

    def company(self, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[np.ndarray, bool]]]:
        """One to three heads or cut-out rectangles on a background."""
        canvas, faces = self.backgrounds.draw(rng), []
        count = rng.choice(3, p=(0.3, 0.5, 0.2)) + 1
        size = np.exp(rng.uniform(np.log(6), np.log(40 / count**0.5)))
        like = rng.random() < 0.5
        for _ in range(count):
            for _ in range(12):
                own = size * rng.uniform(0.75, 1.3) if like else np.exp(rng.uniform(np.log(6), np.log(40 / count**0.5)))
                slack = max(CANVAS / 2 - 1.2 * own, 2)
                centre = 63.5 + rng.uniform(-slack, slack, 2)
                if all(np.linalg.norm(centre - p.mean(0)) > 1.75 * (own + reach(p)) for p, _ in faces):
                    break
            else:
                continue
            row = int(rng.choice(len(self.sources.odds), p=self.sources.odds))
            warped, inside, points = self.warped(rng, row, own, np.clip(rng.normal(0, 14), -35, 35), centre)
            if within(points):
                canvas = blend(canvas, warped, inside * cut_out(rng, points))
                faces.append((points, self.sources.drawn(row)))
        return canvas, faces

    def warped(
        self, rng: np.random.Generator, row: int, size: float, angle: float, centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A source on the canvas with its face of that reach, angle and centre: pixels, mask (128, 128) in [0, 1], points."""
        width, height = self.sources.sizes[row]
        points = self.sources.points[row].astype(np.float64)
        picture = np.asarray(self.sources.pictures[row, :height, :width])
        if self.sources.drawn(row) and rng.random() < 0.4:
            picture = (picture * rng.uniform(0.65, 1, 3)).astype(np.uint8)
        scale = size / reach(points)
        if scale < 0.75:
            small = max(2, round(width * scale)), max(2, round(height * scale))
            points = (points + 0.5) * (np.array(small) / (width, height)) - 0.5
            picture, scale = cv2.resize(picture, small, interpolation=cv2.INTER_AREA), 1.0
        upright = np.degrees(np.arctan2(*(points[1] - points[0])[::-1]))
        matrix = cv2.getRotationMatrix2D((0.0, 0.0), upright - angle if rng.random() < 0.7 else -angle, scale)
        matrix[:, 2] = centre - matrix[:, :2] @ points.mean(0)
        flags = cv2.INTER_LINEAR if scale <= 1 else cv2.INTER_CUBIC
        warped = cv2.warpAffine(picture, matrix, (CANVAS, CANVAS), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(np.ones(picture.shape[:2], np.float32), matrix, (CANVAS, CANVAS))
        return warped, inside, (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def within(points: np.ndarray) -> bool:
    return bool((points > -1).all() and (points < CANVAS).all() and reach(points) >= SMALLEST)


def blend(ground: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (ground + (picture.astype(np.float32) - ground) * mask[..., None]).astype(np.uint8)


def cut_out(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """Soft mask of the head, or a rectangle around it."""
    size, mask = reach(points), np.zeros((CANVAS, CANVAS), np.float32)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    angle = float(np.degrees(np.arctan2(*(mouth - eyes)[::-1])) - 90)
    centre = eyes + 0.3 * (mouth - eyes)
    if rng.random() < 0.5:
        axes = (float(size * rng.uniform(1.2, 1.7)), float(size * rng.uniform(1.6, 2.1)))
        cv2.ellipse(mask, (centre.tolist(), (2 * axes[0], 2 * axes[1]), angle), 1.0, -1)
    else:
        left, top = np.maximum(centre - size * rng.uniform(1.3, 2.0, 2), 0).astype(int)
        right, bottom = (centre + size * rng.uniform(1.5, 2.1, 2)).astype(int)
        mask[top:bottom, left:right] = 1
    return cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 2.5))


def letterboxed(rng: np.random.Generator, canvas: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Padded as a picture that is not square, where that hides no face."""
    if rng.random() > 0.4:
        return canvas
    axis, (first, last) = int(rng.random() < 0.3), rng.integers(4, 30, 2)
    at = points[..., axis]
    if at.size and (at.min() < first or at.max() > CANVAS - 1 - last):
        return canvas
    canvas = canvas.copy()
    view = canvas.swapaxes(0, 1) if axis == 0 else canvas
    view[:first], view[CANVAS - last :] = PADDING, PADDING
    return canvas


def photographed(rng: np.random.Generator, canvas: np.ndarray, smallest: float) -> np.ndarray:
    """Colour, light, sharpness and noise of a camera, a scanner, or an old print; a face of reach `smallest` stays one."""
    if rng.random() < 0.2:
        side = int(rng.integers(np.clip(CANVAS * 6 / smallest, 24, 100), 112))
        canvas = cv2.resize(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), (CANVAS, CANVAS))
    if rng.random() < 0.25:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.6))
    picture = canvas.astype(np.float32) / 255
    tint = rng.random()
    if tint < 0.45:  # often enough that colour does not tell a photo from a drawing
        picture = np.repeat((picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, axis=2)
        if rng.random() < 0.4:
            ink, paper = rng.uniform(0, 0.3, 3).astype(np.float32), rng.uniform(0.7, 1, 3).astype(np.float32)
            picture = ink + (paper - ink) * picture
    elif tint < 0.7:
        picture = picture * rng.uniform(0.75, 1.2, 3).astype(np.float32)
    if rng.random() < 0.6:
        picture = np.clip(picture, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.35)))
        picture = (picture - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.15, 0.15)
    exposure = rng.random()
    if exposure < 0.12:
        picture = picture * rng.uniform(0.15, 0.5)
    elif exposure < 0.27:
        picture = picture * rng.uniform(1.1, 1.6)
    if rng.random() < 0.35:
        picture = picture + rng.standard_normal(picture.shape, np.float32) * rng.uniform(0.005, 0.06)
    canvas = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.3:
        canvas = cv2.imdecode(cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])[1], 1)
    return canvas
