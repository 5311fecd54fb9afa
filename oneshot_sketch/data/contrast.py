"""The grey, high-contrast form in which the paper compares sketches."""

from __future__ import annotations

from PIL import Image, ImageEnhance

from oneshot_sketch.images import ImageLike, to_rgb

CONTRAST = 1.5


def high_contrast_grey(sketch: ImageLike) -> Image.Image:
    """Brightness, its distance from the sketch's mean grown by half: what the authors' script does to every sketch.

    Args:
        sketch: any picture `to_rgb` takes; transparency is laid on white, which their script does not do.

    Returns:
        The picture in grey, mode "L", same size; clipped to [0, 255].

    Raises:
        InputError: as `to_rgb`.
    """
    return ImageEnhance.Contrast(to_rgb(sketch).convert("L")).enhance(CONTRAST)
