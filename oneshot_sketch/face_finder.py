"""Faces in a photo, and the one that can be sketched: none, several, a profile or a drawing get a sentence instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from oneshot_sketch.errors import InputError, loading
from oneshot_sketch.images import to_rgb, to_tensor
from oneshot_sketch.models.face_finder import Detections, FaceFinderNetwork, detections, reach

MINI = Path(__file__).parent / "mini_prior" / "face_finder"

LIKE_SIZE = 0.5  # of the largest face; smaller ones are passers-by
MAX_YAW = 40.0  # degrees
NOSE_TO_EYES = 0.5  # how far the tip of the nose stands out before the face's plane, in distances between the eyes

_CANVAS, _PADDING = 128, (127, 127, 127)
_REACH = 31.0  # of a face on its second look, in pixels: the whole head fills the canvas
_GUESS = 0.4  # heat from which a peak of either look is followed
_MOST = 8  # faces that get a second look
_LEGIBLE = 12.0  # pixels of reach from which the first look tells drawings better: what is enlarged from few pixels looks drawn


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        points: (5, 2) float64 pixels, (0, 0) the centre of the upper left one: the centre of the eye on the picture's left,
            of the other eye, the tip of the nose, the mouth's left and right corner.
        score: how sure the finder is, in [0, 1].
        yaw: degrees by which the head is turned to the picture's right (negative: left); 0 seen from the front.
        drawn: probability in [0, 1] that it is drawn, not photographed.
    """

    points: np.ndarray
    score: float
    yaw: float
    drawn: float

    @property
    def size(self) -> float:
        """The longer of eye to eye and eyes to mouth, in pixels; a head is about four times as high."""
        return float(reach(torch.from_numpy(self.points)))


class FaceFinder(Protocol):
    def find(self, photo: Image.Image) -> list[Face]:
        """All faces of a picture of any size and mode, surest first."""
        ...


class EmbeddedFaceFinder:
    """The network that ships with the package: no download, no OpenCV.

    The whole photo is looked at with 128 pixels on its longer side, then every face again, upright and close.
    """

    def __init__(self, network: FaceFinderNetwork, threshold: float = 0.65) -> None:
        """
        Args:
            threshold: score from which something is a face, in (0, 1); the mean of both looks, so less than 0.4 changes little.
        """
        if not 0 < threshold < 1:
            raise InputError(f"the face finder's threshold must be between 0 and 1, not {threshold}; try 0.65.")
        self.network, self.threshold = network.eval(), threshold

    @classmethod
    def from_pretrained(cls, name: str | Path = "mini", **kwargs: Any) -> EmbeddedFaceFinder:
        """ "mini", or a folder that `FaceFinderNetwork.save_pretrained` wrote.

        Raises:
            InputError: no such folder, or its files hold something else.
        """
        folder = MINI if str(name) == "mini" else Path(name)
        if not folder.is_dir():
            raise InputError(f'{folder} is no folder with a face finder; give "mini" or the folder of one.')
        with loading(folder, "a face finder", "save or copy it again"):
            network = FaceFinderNetwork.from_pretrained(folder, local_files_only=True)
        return cls(network, **kwargs)

    @torch.no_grad()
    def find(self, photo: Image.Image) -> list[Face]:
        """All faces of a picture of any size and mode, surest first.

        Raises:
            InputError: what `images.to_rgb` raises.
        """
        photo = to_rgb(photo)
        picture, scale, border = _fitted(photo)
        first = detections(self.network(to_tensor(picture)), _GUESS)[0]
        guesses = (first.points[:_MOST].double().numpy() + 0.5 - border) / scale - 0.5
        if not len(guesses):
            return []
        crops, matrices = zip(*(_crop(photo, points) for points in guesses), strict=True)
        again = detections(self.network(to_tensor(crops)), _GUESS)
        faces = []
        for i, (found, matrix) in enumerate(zip(again, matrices, strict=True)):
            central = _most_central(found)
            if central is not None:
                points = (found.points[central].double().numpy() + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5
                score = (first.score[i] * found.score[central]).sqrt().item()
                drawn = first.drawn[i] if reach(first.points[i]) >= _LEGIBLE else found.drawn[central]
                faces.append(Face(points, score, yaw(points), drawn.item()))
        return _distinct(sorted((face for face in faces if face.score >= self.threshold), key=lambda face: -face.score))


def the_face(faces: Sequence[Face], name: str = "the photo") -> Face:
    """The one face that can be sketched.

    Args:
        faces: what a `FaceFinder` found. Those less than half as large as the largest count as passers-by.
        name: what the message calls the photo, such as its path.

    Raises:
        InputError: no face, two or more of like size, a drawn one, or one turned by more than 40°.
    """
    if not faces:
        raise InputError(f"{name} shows no face; choose a photo with one face, seen from the front and not too small.")
    largest = max(faces, key=lambda face: face.size)
    alike = [face for face in faces if face.size >= LIKE_SIZE * largest.size]
    if len(alike) > 1:
        raise InputError(f"{name} shows {len(alike)} faces of like size where one is needed; crop it to the face to be sketched.")
    if largest.drawn > 0.5:
        raise InputError(f"the face in {name} is drawn, not photographed; give the photo of it, or another photo.")
    if abs(largest.yaw) > MAX_YAW:
        raise InputError(
            f"the face in {name} is turned by about {abs(largest.yaw):.0f}°, more than the {MAX_YAW:.0f}° that can be sketched; "
            "choose a photo seen more from the front."
        )
    return largest


def yaw(points: np.ndarray) -> float:
    """By how many degrees a head is turned to the picture's right, judged from where the nose lies between eyes and mouth.

    Turning by θ moves the nose's tip, which stands out by d before the face's plane, aside by d sin θ, and shortens the
    distance of the eyes to e cos θ; nodding and tilting change neither much.

    Args:
        points: (5, 2), as `Face.points`.
    """
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = (mouth - eyes) / max(np.hypot(*(mouth - eyes)), 1e-9)
    right = np.array([down[1], -down[0]])
    aside = (points[2] - eyes) @ right
    across = (points[1] - points[0]) @ right
    return float(np.degrees(np.arctan2(aside, NOSE_TO_EYES * max(across, 1e-9))))


def _fitted(photo: Image.Image) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """The photo in the middle of a grey 128×128 canvas, its scale (2,) and the border (2,) on its left and above it."""
    ratio = _CANVAS / max(photo.size)
    size = max(1, round(photo.width * ratio)), max(1, round(photo.height * ratio))
    border = (_CANVAS - size[0]) // 2, (_CANVAS - size[1]) // 2
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), _PADDING)
    canvas.paste(photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0), border)
    return canvas, np.array(size) / photo.size, np.array(border)


def _crop(photo: Image.Image, points: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """The face upright in the middle of 128×128 pixels, and the (2, 3) similarity from there back to the photo.

    The matrix takes (0, 0) as the upper left corner, not the first pixel's centre.
    """
    across, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
    right = across + np.array([down[1], -down[0]])
    right = right / max(np.hypot(*right), 1e-9)
    step = float(reach(torch.from_numpy(points))) / _REACH
    turn = step * np.array([[right[0], -right[1]], [right[1], right[0]]])
    centre = points.mean(0) + 0.5
    matrix = np.column_stack([turn, centre - turn @ np.full(2, _CANVAS / 2)])

    corners = np.array([(0, 0), (_CANVAS, 0), (0, _CANVAS), (_CANVAS, _CANVAS)]) @ turn.T + matrix[:, 2]
    left, top = np.clip(np.floor(corners.min(0)) - 2, 0, np.array(photo.size) - 1).astype(int).tolist()
    wide, high = np.clip(np.ceil(corners.max(0)) + 2 - (left, top), 1, np.array(photo.size) - (left, top)).astype(int).tolist()
    region, shrunk = photo.crop((left, top, left + wide, top + high)), np.ones(2)
    if step > 1:  # bicubic sampling reads sixteen pixels, so shrinking must average first
        size = max(1, round(wide / step)), max(1, round(high / step))
        region, shrunk = region.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0), np.array(size) / (wide, high)
    back = np.column_stack([matrix[:, :2], matrix[:, 2] - (left, top)]) * shrunk[:, None]
    transform, cubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return region.transform((_CANVAS, _CANVAS), transform, back.ravel().tolist(), cubic, fillcolor=_PADDING), matrix


def _most_central(found: Detections) -> int | None:
    """Which detection of a second look is the face looked at: the nearest to the middle, if it is near."""
    if not len(found.points):
        return None
    apart = (found.points.mean(1) - (_CANVAS - 1) / 2).norm(dim=-1)
    nearest = int(apart.argmin())
    return nearest if apart[nearest] < _REACH * 0.75 else None


def _distinct(faces: list[Face]) -> list[Face]:
    """Without those that a second look found to be one already there."""
    kept: list[Face] = []
    for face in faces:
        if all(np.hypot(*(face.points.mean(0) - k.points.mean(0))) > max(face.size, k.size) for k in kept):
            kept.append(face)
    return kept
