"""OpenCV's YuNet as a face finder, for whoever has its file and OpenCV."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.face_finder import Face, yaw
from oneshot_sketch.landmarks import YuNet, five_points


class YuNetFaceFinder:
    """Finds small, covered and turned faces better than the embedded network, but takes a drawing for a photo.

    Attributes:
        fingerprint: of the network's file and the threshold.
    """

    def __init__(self, model: str | Path, score_threshold: float = 0.6) -> None:
        """
        Args:
            model: YuNet's ONNX file, as found in OpenCV's model zoo.
            score_threshold: what counts as a face, in (0, 1).

        Raises:
            InputError: OpenCV is not installed, or the file is missing or no YuNet.
        """
        self._yunet = YuNet(model, score_threshold)
        digest = hashlib.sha256(Path(model).read_bytes() + repr(score_threshold).encode())
        self.fingerprint = f"yunet {digest.hexdigest()[:16]}"

    def find(self, photo: Image.Image) -> list[Face]:
        """All faces of a picture of any size and mode, surest first; `drawn` is 0 for all, since YuNet does not tell."""
        faces = []
        for points, score in self._yunet.detect(photo):
            try:
                points = five_points(points)
            except InputError:  # so far turned that the points are no face any more
                continue
            faces.append(Face(points, score, yaw(points), drawn=0.0))
        return faces
