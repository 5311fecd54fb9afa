"""One photo and one sketch of it: all that learning needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import fitted_size, open_image, to_rgb, to_tensor

MAX_ASPECT_GAP = 0.06


@dataclass(frozen=True)
class PhotoSketchPair:
    """An aligned photo and sketch, upright RGB.

    Attributes:
        photo: what the artist saw.
        sketch: what the artist drew; of the photo's shape (within 6 %), resized to its size.
        name: shown in records and cards.
        style: the artist or manner, if known.
        licence: of the sketch, if known; never guessed.
    """

    photo: Image.Image
    sketch: Image.Image
    name: str = "pair"
    style: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        photo, sketch = to_rgb(self.photo), to_rgb(self.sketch)
        ratio = (photo.width / photo.height) / (sketch.width / sketch.height)
        if abs(ratio - 1) > MAX_ASPECT_GAP:
            raise InputError(
                f"the photo ({photo.width}×{photo.height}) and the sketch ({sketch.width}×{sketch.height}) differ in shape, "
                "so they cannot be aligned; crop both to the same frame."
            )
        if sketch.size != photo.size:
            sketch = sketch.resize(photo.size, Image.Resampling.LANCZOS)
        object.__setattr__(self, "photo", photo)
        object.__setattr__(self, "sketch", sketch)

    @classmethod
    def open(
        cls, photo: str | Path, sketch: str | Path, *, style: str | None = None, licence: str | None = None
    ) -> PhotoSketchPair:
        """Read both files; the pair is named after the photo."""
        return cls(open_image(photo), open_image(sketch), Path(photo).stem, style, licence)

    def tensors(self, resolution: int) -> tuple[Tensor, Tensor]:
        """Photo and sketch as (1, 3, H, W) float32 in [-1, 1], about resolution² pixels, sides multiples of 8."""
        size = fitted_size(self.photo.size, resolution)
        photo, sketch = (to_tensor(image.resize(size, Image.Resampling.LANCZOS)) for image in (self.photo, self.sketch))
        return photo, sketch
