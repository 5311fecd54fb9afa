"""Photos that owe a sketch little or nothing: the mean face, a random face, the nearest photo learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from oneshot_sketch.benchmark.measures import features_of
from oneshot_sketch.benchmark.rivals.networks import photos_of, prior_part
from oneshot_sketch.benchmark.system import register
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_tensor
from oneshot_sketch.pair import PhotoSketchPair


@register("generated_face")
class GeneratedFace:
    """A face that a StyleGAN2 makes without looking at the sketch.

    Args:
        kind: "mean", the same face always, or "random", another one for every photo.
        generator: "mini", the embedded one, or the folder of another.
        truncation: of random faces.
        seed: of the first sketch's faces; the next sketches' are the next numbers.
    """

    def __init__(self, kind: str, generator: str = "mini", truncation: float = 1.0, seed: int = 0) -> None:
        if kind not in ("mean", "random"):
            raise InputError(f"there is no {kind!r} generated face; choose mean or random.")
        self.generator = prior_part(generator, "generator")
        self.truncation, self.seed = 0.0 if kind == "mean" else truncation, seed

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        pass

    @torch.no_grad()
    def photograph(self, sketches: Sequence[Image.Image], count: int) -> list[list[Image.Image]]:
        answers = []
        for i, sketch in enumerate(sketches):
            z = torch.randn(count, self.generator.config["z_dim"], generator=torch.Generator().manual_seed(self.seed + i))
            ws = self.generator.map(z.to(self.generator.w_avg), self.truncation)
            answers.append([photos_of(self.generator.synthesize(w[None]).image, sketch.size)[0] for w in ws])
        return answers


@register("nearest_photo")
class NearestPhoto:
    """The exemplars' photos, from the one nearest to the sketch on.

    Args:
        features: what compares sketch and photo, the options of a metric's extractor; not those the protocol judges by.
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        self.features = features_of(**features)

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        self.photos = [pair.photo for pair in pairs]
        self.gallery = torch.cat([self.features(to_tensor(photo)) for photo in self.photos])

    def photograph(self, sketches: Sequence[Image.Image], count: int) -> list[list[Image.Image]]:
        answers = []
        for sketch in sketches:
            nearness = torch.cosine_similarity(self.features(to_tensor(sketch)), self.gallery)
            order = nearness.argsort(descending=True, stable=True).tolist()
            answers.append([self.photos[order[n % len(order)]].resize(sketch.size) for n in range(count)])
        return answers
