"""IDE (Peng et al. 2022) and its first stage alone, the Markov weight field, from the exemplar pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from oneshot_sketch.benchmark.system import or_unavailable, register
from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.ide import PERCEPTUAL_LAYER, IDELearner, perceptual_features
from oneshot_sketch.learners.ide_config import IDELearnerConfig
from oneshot_sketch.models.patch_field import PatchField
from oneshot_sketch.models.perceptual_features import of_network
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.pipelines.ide import IDEPipeline

# From a single face a patch has to be looked for far away (a tenth of the benchmark's 128 pixels), and on its other side.
FIELD = {"search": 13, "mirror": True}


@register("patch-field")
class PatchFieldAlone:
    """Stage one.

    Args:
        settings: of `PatchField`, over those for few pairs.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = {**FIELD, **(settings or {})}

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        self.pipeline = IDEPipeline(PatchField.fit(*_sides(pairs), **self.settings))

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return _drawn(self.pipeline, photos)


@register("ide")
class Ide:
    """Both stages; pairs are mended in one size, so the second adds no pixels (`coarse_scale` 0.5).

    Args:
        settings: of `PatchField`, over those for few pairs.
        changes: of `IDELearnerConfig`.
        network, weights, caffe, layer: of `perceptual_features`; the paper's is VGG-19.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        changes: Mapping[str, Any] | None = None,
        network: str = "vgg19",
        weights: str | Path | None = None,
        caffe: bool = False,
        layer: str | None = None,
        seed: int = 0,
    ) -> None:
        few: dict[str, Any] = {"steps": 400, "batch": 4, "crop": 64, "channels": 32, "num_fams": 2, "discriminator_channels": 16}
        changed = {**few, "coarse_scale": 0.5, "seed": seed, "field": {**FIELD, **(settings or {})}, **(changes or {})}
        try:
            self.config = IDELearnerConfig(**changed)
        except TypeError as error:
            raise InputError(f"that is no setting of IDELearnerConfig ({error}).") from None
        self.features = None
        if self.config.perceptual_weight:
            of_network(PERCEPTUAL_LAYER, network)
            self.features = or_unavailable(lambda: perceptual_features(network, weights, caffe, layer), weights)

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        learned = IDELearner(self.config, self.features).learn(pairs, progress=False)
        self.pipeline = IDEPipeline(learned.field, learned.enhancer, learned.config.coarse_scale)

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return _drawn(self.pipeline, photos)


def _sides(pairs: Sequence[PhotoSketchPair]) -> tuple[list[Image.Image], list[Image.Image]]:
    """Photos and sketches in the first pair's size."""
    size = pairs[0].photo.size
    photos, sketches = (
        [image.resize(size, Image.Resampling.LANCZOS) for image in side] for side in zip(*_both(pairs), strict=True)
    )
    return photos, sketches


def _both(pairs: Sequence[PhotoSketchPair]) -> list[tuple[Image.Image, Image.Image]]:
    return [(pair.photo, pair.sketch) for pair in pairs]


def _drawn(pipeline: IDEPipeline, photos: Sequence[Image.Image]) -> list[Image.Image]:
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(photos).images
    return [s if s.size == p.size else s.resize(p.size, Image.Resampling.LANCZOS) for s, p in zip(drawn, photos, strict=True)]
