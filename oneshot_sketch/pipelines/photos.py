"""Whatever a caller passes as `image=` → upright RGB photos of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import MAX_PIXELS, MIN_SIDE, ImageLike, fitted_size, to_rgb


def fitted_photos(image: ImageLike | Sequence[ImageLike] | None, resolution: int | str, native: int) -> list[Image.Image]:
    """`open_photos`, then `fit_photos`."""
    return fit_photos(open_photos(image), resolution, native)


def open_photos(image: ImageLike | Sequence[ImageLike] | None) -> list[Image.Image]:
    """Upright RGB photos of their own sizes.

    Args:
        image: one or several; tensors in [0, 1] or [-1, 1], told apart by whether any value is negative.

    Raises:
        InputError: none, or not a picture.
    """
    several = image.ndim == 4 if isinstance(image, Tensor | np.ndarray) else isinstance(image, list | tuple)
    given: list[Any] = [] if image is None else list(image) if several else [image]  # type: ignore[arg-type]
    if not given:
        raise InputError("there is no photo to sketch; pass image=.")
    signed = any(bool((one < 0).any()) for one in given if isinstance(one, Tensor))
    photos = []
    for one in given:
        if not isinstance(one, Image.Image | np.ndarray | Tensor):
            raise InputError(f"a photo must be a PIL image, an array or a tensor, not {one!r}; open files first.")
        photos.append(to_rgb(one * 2 - 1 if isinstance(one, Tensor) and not signed else one))
    return photos


def fit_photos(photos: Sequence[Image.Image], resolution: int | str, native: int) -> list[Image.Image]:
    """Photos resized, shape kept, to about `resolution`² pixels and sides that are multiples of 8.

    Args:
        resolution: "native" is `native`, "photo" each photo's own, a number the side of a square of as many pixels.
        native: the side the backbone draws at if nothing else is asked for, pixels.

    Raises:
        InputError: of different shapes, or an unusable resolution.
    """
    side = native if resolution == "native" else resolution
    fitted = []
    for photo in photos:
        pixels = (photo.width * photo.height) ** 0.5 if side == "photo" else side
        if not isinstance(pixels, int | float) or not MIN_SIDE <= pixels <= MAX_PIXELS**0.5:
            raise InputError(f'resolution is {side!r}; give "native", "photo" or a number of pixels from 16 to 10,000.')
        size = fitted_size(photo.size, pixels)
        fitted.append(photo if photo.size == size else photo.resize(size, Image.Resampling.LANCZOS))
    if len({photo.size for photo in fitted}) > 1:
        raise InputError("the photos differ in shape; sketch those of one shape together, or one at a time.")
    return fitted
