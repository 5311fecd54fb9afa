"""Pictures of any shape on a canvas of one size, and back."""

from __future__ import annotations

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]


def letterbox(image: Image.Image, canvas: tuple[int, int]) -> tuple[Image.Image, Box]:
    """The picture as large as it fits, in the middle, its edges carried on to the rim.

    Args:
        canvas: width and height in pixels.

    Returns:
        The canvas (RGB), and (left, top, right, bottom) of the picture on it.
    """
    width, height = canvas
    scale = min(width / image.width, height / image.height)
    inner = min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    pixels = np.asarray(image.convert("RGB").resize(inner, Image.Resampling.LANCZOS))
    rim = ((top, height - inner[1] - top), (left, width - inner[0] - left), (0, 0))
    return Image.fromarray(np.pad(pixels, rim, mode="edge")), (left, top, left + inner[0], top + inner[1])
