"""Classical filters, with or without the exemplar's tones."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from oneshot_sketch.benchmark.system import register
from oneshot_sketch.errors import InputError
from oneshot_sketch.filters import dodge_and_burn, grey_photo, match_tone, xdog
from oneshot_sketch.images import to_pil, to_tensor
from oneshot_sketch.pair import PhotoSketchPair

FILTERS = {"grey": grey_photo, "dodge": dodge_and_burn, "xdog": xdog}


@register("filter")
class Filter:
    """A filter of `oneshot_sketch.filters`.

    Args:
        kind: "grey", "dodge" or "xdog".
        tone: give every sketch the grey levels of the first exemplar's.
    """

    def __init__(self, kind: str, tone: bool = False) -> None:
        if kind not in FILTERS:
            raise InputError(f"there is no filter {kind!r}; choose one of {', '.join(FILTERS)}.")
        self.draw, self.tone = FILTERS[kind], tone

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        self.exemplar = to_tensor(pairs[0].sketch)

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        drawn = [self.draw(to_tensor(photo)) for photo in photos]
        return [to_pil(match_tone(image, self.exemplar) if self.tone else image)[0] for image in drawn]
