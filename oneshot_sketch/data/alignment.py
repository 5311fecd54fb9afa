"""Laying a sketch over its photo: five points, one similarity transform.

The paper's script does so with dlib's points, OpenCV's robust fit and black borders. Here the points may come from
anywhere, the fit is the plain least-squares one (no draw of random subsets), and borders get the colour of the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_rgb
from oneshot_sketch.landmarks import five_points

Landmarks = Callable[[Image.Image], ArrayLike]
"""A picture → its five points, as `five_points` has them."""

MAX_MISFIT = 0.3  # of the distance from eyes to mouth
MAX_SCALE = 20.0
# A head in units of the distance from eyes to mouth, hair and chin included.
ABOVE_EYES, BELOW_EYES, ASIDE = 2.0, 1.75, 1.5
SPARED = 0.05  # a head may lose this part of its height before the canvas grows


def align(
    photo: Image.Image, sketch: Image.Image, landmarks: Landmarks | tuple[ArrayLike, ArrayLike]
) -> tuple[Image.Image, Image.Image]:
    """Turn, scale and shift a sketch so that its face lies on the photo's.

    What the sketch does not cover is filled with the colour of its paper. The photo stays as it is, with one exception:
    where its frame would cut off more than a twentieth of the sketch's head, both pictures grow on that side and the
    photo's new border repeats its edge.

    Args:
        photo, sketch: pictures of any size and mode.
        landmarks: what finds the points in both, such as a `YuNet`, asked once about the photo and twice about the
            sketch; or the points themselves, (photo's, sketch's). A pair that is aligned needs no call of this.

    Returns:
        Photo and sketch, upright RGB of one size, ready for a `PhotoSketchPair`.

    Raises:
        InputError: points that are missing, malformed, or not of one face.
    """
    photo, sketch = to_rgb(photo), to_rgb(sketch)
    if isinstance(landmarks, tuple):
        targets, points = (five_points(given) for given in landmarks)
    else:
        targets = _found(landmarks, photo, "photo")
        points = _found_upright(landmarks, sketch, targets, photo.size)
    matrix = _face_to_face(points, targets)
    left, top, right, bottom = _margins(photo.size, sketch.size, points, matrix)
    pixels = np.pad(np.asarray(photo), ((top, bottom), (left, right), (0, 0)), mode="edge")
    matrix[:, 2] += left, top
    grown = Image.fromarray(pixels)
    return grown, warp(sketch, matrix, grown.size, paper_colour(sketch))


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The scale, rotation and shift that bring points to their targets with the least squared error.

    Args:
        points, targets: (N, 2) float, N ≥ 2.

    Returns:
        (2, 3) float64 M, such that targets ≈ points @ M[:, :2].T + M[:, 2]. It never mirrors.

    Raises:
        InputError: all points are one.
    """
    p, q = (xy[:, 0] + 1j * xy[:, 1] for xy in (points, targets))
    spread = (np.abs(p - p.mean()) ** 2).sum()
    if not spread > 0:
        raise InputError("all landmarks are the same point; give five different ones.")
    a = (np.conj(p - p.mean()) * (q - q.mean())).sum() / spread  # in the plane of complex numbers, q ≈ a p + b
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def warp(image: Image.Image, matrix: np.ndarray, size: tuple[int, int], fill: tuple[int, int, int]) -> Image.Image:
    """An RGB image moved by a similarity, onto a canvas of `size` filled with `fill`.

    Args:
        matrix: (2, 3) float, from the image's pixels to the canvas's; (0, 0) is the centre of the upper left pixel.
    """
    corner = matrix.copy()  # the same with (0, 0) at the upper left corner
    corner[:, 2] += 0.5 - matrix[:, :2].sum(1) / 2
    scale = np.hypot(*matrix[:, 0])
    if scale < 1:  # bicubic sampling reads sixteen pixels, so shrinking must average first
        smaller = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        corner[:, :2] *= np.array(image.size) / smaller
        image = image.resize(smaller, Image.Resampling.LANCZOS)
    back = np.linalg.inv(np.vstack([corner, [0, 0, 1]]))
    return image.transform(size, Image.Transform.AFFINE, back[:2].ravel().tolist(), Image.Resampling.BICUBIC, fillcolor=fill)


def paper_colour(sketch: Image.Image) -> tuple[int, int, int]:
    """The median colour of an RGB sketch's outermost pixels."""
    pixels = np.asarray(sketch)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    red, green, blue = np.median(edge, axis=0).round().astype(int).tolist()
    return red, green, blue


def _found(landmarks: Landmarks, image: Image.Image, name: str) -> np.ndarray:
    try:
        return five_points(landmarks(image))
    except InputError as error:
        raise InputError(f"in the {name}, {error}") from None


def _found_upright(landmarks: Landmarks, sketch: Image.Image, targets: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The sketch's points, found a second time where the first lays it: detectors misplace those of turned faces."""
    points = _found(landmarks, sketch, "sketch")
    matrix = _face_to_face(points, targets)
    try:
        laid = five_points(landmarks(warp(sketch, matrix, size, paper_colour(sketch))))
    except InputError:  # most of it lies outside the photo's frame
        return points
    return np.linalg.solve(matrix[:, :2], (laid - matrix[:, 2]).T).T


def _face_to_face(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    matrix = similarity(points, targets)
    misfit = np.sqrt(((points @ matrix[:, :2].T + matrix[:, 2] - targets) ** 2).sum(1).mean()) / np.hypot(*_down(targets))
    scale = np.hypot(*matrix[:, 0])
    if misfit > MAX_MISFIT or not 1 / MAX_SCALE < scale < MAX_SCALE:
        raise InputError(
            f"the landmarks of photo and sketch are not of one face (misfit {misfit:.0%}, scale {scale:.2g}); check them."
        )
    return matrix


def _down(points: np.ndarray) -> np.ndarray:
    """From the middle of the eyes to the middle of the mouth."""
    return points[3:].mean(0) - points[:2].mean(0)


def _margins(
    photo: tuple[int, int], sketch: tuple[int, int], points: np.ndarray, matrix: np.ndarray
) -> tuple[int, int, int, int]:
    """By how many pixels the photo's canvas must grow (left, top, right, bottom) to hold the head that was sketched."""
    eyes, down = points[:2].mean(0), _down(points)
    side = np.array([-down[1], down[0]])
    v, u = (axis.ravel() for axis in np.mgrid[-1:1:65j, -1:1:65j])
    v, u = v[u**2 + v**2 <= 1, None], u[u**2 + v**2 <= 1, None]  # a head is an ellipse
    head = eyes + ((BELOW_EYES - ABOVE_EYES) / 2 + (BELOW_EYES + ABOVE_EYES) / 2 * v) * down + ASIDE * u * side
    drawn = head[((head >= 0) & (head <= np.array(sketch) - 1)).all(1)] @ matrix[:, :2].T + matrix[:, 2]
    over = np.concatenate([-drawn.min(0), drawn.max(0) - np.array(photo) + 1])
    spared = SPARED * (ABOVE_EYES + BELOW_EYES) * np.hypot(*(matrix[:, :2] @ down))
    left, top, right, bottom = np.where(over > spared, np.ceil(over), 0).astype(int).tolist()
    return left, top, right, bottom
