"""Five points of a face, found by YuNet or given by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_rgb

_LONGEST = 640  # YuNet misses faces that are much larger than those it was trained on


def five_points(points: ArrayLike) -> np.ndarray:
    """Checked points: the eye on the image's left, the other eye, the tip of the nose, the mouth's left and right corner.

    Args:
        points: (5, 2) x and y in pixels, (0, 0) being the centre of the upper left pixel. Eyes may be their centres
            (YuNet) or outer corners (dlib's 68 points: 36, 45, 30, 48, 54), the same in both pictures of a pair.

    Returns:
        (5, 2) float64.

    Raises:
        InputError: another shape, values that are not finite, or a mouth that is not below the eyes' line.
    """
    try:
        array = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        raise InputError("landmarks must be five pairs of numbers; give x and y of eyes, nose and mouth corners.") from None
    if array.shape != (5, 2) or not np.isfinite(array).all():
        raise InputError(f"landmarks must be five finite points (5, 2), not {array.shape}; give eyes, nose and mouth corners.")
    across, down = array[1] - array[0], array[3:].mean(0) - array[:2].mean(0)
    if across[0] * down[1] - across[1] * down[0] <= 0:
        raise InputError("the landmarks are no face in this order: eye on the left, eye on the right, nose, mouth left, right.")
    return array


class YuNet:
    """The face detector of OpenCV (Wu et al. 2023), which also finds the five points; drawn faces included, mostly."""

    def __init__(self, model: str | Path, score_threshold: float = 0.6) -> None:
        """
        Args:
            model: YuNet's ONNX file, as found in OpenCV's model zoo.
            score_threshold: what counts as a face, in (0, 1).

        Raises:
            InputError: OpenCV is not installed, or the file is missing or no YuNet.
        """
        if not Path(model).is_file():
            raise InputError(f"{model} does not exist; download YuNet's ONNX file from OpenCV's model zoo and give its path.")
        if not 0 < score_threshold < 1:
            raise InputError(f"score_threshold must be between 0 and 1, not {score_threshold}; try 0.6.")
        self._cv2 = _opencv()
        try:
            self._detector: Any = self._cv2.FaceDetectorYN.create(str(model), "", (320, 320), score_threshold)
        except self._cv2.error:
            raise InputError(f"{model} is no YuNet network that OpenCV can read; download its ONNX file again.") from None

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The five points of the only face, (5, 2) float64, as `five_points` has them; eyes are their centres.

        Raises:
            InputError: no face, or more than one.
        """
        faces = self.detect(image)
        if len(faces) != 1:
            count = f"{len(faces)} faces" if faces else "no face"
            raise InputError(
                f"YuNet finds {count} where exactly one is needed; crop the picture or give the five points by hand."
            )
        return five_points(faces[0][0])

    def detect(self, image: Image.Image) -> list[tuple[np.ndarray, float]]:
        """Points (5, 2) float64 in pixels of the image, and score in (0, 1), of every face; surest first."""
        image = to_rgb(image)
        scale = min(1.0, _LONGEST / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS))[..., ::-1]
        self._detector.setInputSize(size)
        faces = self._detector.detect(np.ascontiguousarray(pixels))[1]
        if faces is None:
            return []
        points = (faces[:, 4:14].reshape(-1, 5, 2).astype(np.float64) + 0.5) * (np.array(image.size) / size) - 0.5
        order = np.argsort(-faces[:, 14], kind="stable")
        return [(points[i], float(faces[i, 14])) for i in order]


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise InputError("finding faces needs OpenCV; run pip install 'oneshot-sketch[alignment]'.") from None
    return cv2
