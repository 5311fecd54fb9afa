"""One copy of a backbone for all systems that use it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from PIL import Image

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.benchmark.system import Unavailable
from oneshot_sketch.errors import InputError
from oneshot_sketch.pipelines.one_shot_sketch import OneShotSketchPipeline
from oneshot_sketch.pipelines.sketch_prior import FittedPrior, Prior, draw_prior, open_prior

logger = logging.getLogger(__name__)
BATCH = 10


@cache
def pipeline(backbone: str) -> OneShotSketchPipeline:
    """The loaded pipeline, on CUDA where there is one.

    Raises:
        Unavailable: the checkpoint is neither here nor to be had.
    """
    place = _place()
    try:
        pipe = OneShotSketchPipeline.from_pretrained(backbone, dtype=torch.bfloat16 if place.type == "cuda" else torch.float32)
    except InputError as error:
        raise Unavailable(str(error)) from None
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(place)


def _place() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def frozen(backbone: str) -> FrozenInstructPix2Pix:
    return FrozenInstructPix2Pix.from_pipeline(pipeline(backbone), backbone)


class ForgivingPrior:
    """A prior that trusts itself nowhere on a photo another would refuse, so that every photo is drawn."""

    def __init__(self, prior: Prior) -> None:
        self.prior, self.fingerprint = prior, prior.fingerprint

    def sketch(self, photos: Image.Image | list[Image.Image], size: tuple[int, int] | None = None) -> FittedPrior:
        parts = []
        for photo in photos if isinstance(photos, list) else [photos]:
            width, height = size or photo.size
            try:
                parts.append(draw_prior(self.prior, [photo], (width, height)))
            except InputError as error:
                logger.warning("A photo is drawn without the sketch prior: %s", error)
                paper = torch.ones(1, 1, height, width)
                parts.append(FittedPrior(paper, torch.zeros_like(paper), torch.tensor([torch.nan])))
        return FittedPrior.join(parts)


@cache
def forgiving_prior(name: str) -> ForgivingPrior:
    """The loaded prior.

    Raises:
        Unavailable: its weights are neither here nor to be had.
    """
    try:
        return ForgivingPrior(open_prior(name, _place()))
    except InputError as error:
        raise Unavailable(str(error)) from None


def drawn(pipe: OneShotSketchPipeline, photos: Sequence[Image.Image], seed: int, **arguments: Any) -> list[Image.Image]:
    """Sketches in batches, every photo from the same noise, resized to the photos where the backbone draws another size."""
    sketches: list[Image.Image] = []
    for start in range(0, len(photos), BATCH):
        batch = list(photos[start : start + BATCH])
        generators = [torch.Generator().manual_seed(seed) for _ in batch]
        sketches += pipe(image=batch, generator=generators, **arguments).images
    return [s if s.size == p.size else s.resize(p.size, Image.Resampling.LANCZOS) for s, p in zip(sketches, photos, strict=True)]
