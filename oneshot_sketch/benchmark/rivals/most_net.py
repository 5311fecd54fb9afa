"""MOST-Net (arXiv 2202.03596) trained on the exemplar pairs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from oneshot_sketch.benchmark.system import or_unavailable, register
from oneshot_sketch.learners.most_net import MostNetConfig, MostNetLearner
from oneshot_sketch.learners.most_net_features import HEARD, StyleAndContent
from oneshot_sketch.models.perceptual_features import of_network
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.pipelines.most_net import MostNetPipeline

# A size that a processor trains in minutes, and pix2pix's crops and flips, without which a single pair is learned by heart.
SMALL = {"width": 16, "memory_items": 128, "discriminator_width": 16, "batch": 2, "square": False, "jitter": 0.117, "flip": True}


@register("most_net")
class MostNetSystem:
    """A `MostNet` from nothing but the exemplar.

    Args:
        steps, size, seed: of `MostNetConfig`.
        changes: other settings that differ from `SMALL`.
        network: "vgg19" (the paper's) or "squeezenet", whose features style and content losses compare.
        weights: a state dict of torchvision's names; None takes torchvision's own from its cache or the network.
        caffe: whether those weights read Caffe's input.
    """

    def __init__(
        self,
        steps: int = 400,
        size: int = 128,
        changes: Mapping[str, Any] | None = None,
        network: str = "vgg19",
        weights: str | Path | None = None,
        caffe: bool = False,
        seed: int = 0,
    ) -> None:
        config = MostNetConfig(**{**SMALL, "steps": steps, "size": size, "seed": seed, **(changes or {})})
        of_network(HEARD, network)
        features = or_unavailable(lambda: StyleAndContent.from_pretrained(network, weights, caffe), weights)
        self.learner = MostNetLearner(features, config)

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        self.pipe = MostNetPipeline(self.learner.learn(pairs, progress=False))

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return self.pipe(list(photos), return_dict=False)[0]  # type: ignore[index, return-value]
