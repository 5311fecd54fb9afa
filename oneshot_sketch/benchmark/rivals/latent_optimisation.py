"""GAN inversion in the sketches' domain: latents optimised until the sketch drawn of their photo is the one given.

The paper's baseline "B-Sketch Optimiser". A StyleSketch generator, which is differentiable, draws the photo on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from oneshot_sketch.benchmark.rivals.networks import photos_of, prior_part
from oneshot_sketch.benchmark.system import register
from oneshot_sketch.images import grey, square, to_tensor
from oneshot_sketch.models.inversion import InversionConfig, invert
from oneshot_sketch.models.picture_that_sketch import filled, predicted_latents
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pair import PhotoSketchPair


@register("latent_optimisation")
class LatentOptimisation:
    """The first latents as found, which a mapper would predict; the others random, as they are for a mapper.

    Args:
        generator, sketch_generator: "mini", the embedded ones, or the folders of others.
        changes: settings of `InversionConfig` that differ from its defaults.
        truncation: of the random latents.
        seed: of the first sketch's; the next sketches' are the next numbers.
    """

    def __init__(
        self,
        generator: str = "mini",
        sketch_generator: str = "mini",
        changes: Mapping[str, Any] | None = None,
        truncation: float = 0.7,
        seed: int = 0,
    ) -> None:
        self.config = InversionConfig(**(changes or {}))
        self.generator = prior_part(generator, "generator")
        self.drawing = Drawing(self.generator, prior_part(sketch_generator, "sketch_generator"))
        self.truncation, self.seed = truncation, seed
        self._found: dict[bytes, Tensor] = {}

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        pass

    def photograph(self, sketches: Sequence[Image.Image], count: int) -> list[list[Image.Image]]:
        predicted, answers = predicted_latents(self.generator.num_ws), []
        for i, (sketch, ws) in enumerate(zip(sketches, self._optimised(sketches), strict=True)):
            z = torch.randn(count, self.generator.config["z_dim"], generator=torch.Generator().manual_seed(self.seed + i))
            with torch.no_grad():
                tails = self.generator.map(z.to(self.generator.w_avg), self.truncation)
                photos = [self.generator.synthesize(filled(ws[None, :predicted], tail[None])).image for tail in tails]
            answers.append([photos_of(photo, sketch.size)[0] for photo in photos])
        return answers

    def _optimised(self, sketches: Sequence[Image.Image]) -> list[Tensor]:
        """(num_ws, w_dim) each; found once, however many photos are made of a sketch."""
        side = self.generator.config["resolution"]
        targets = [grey(to_tensor(square(sketch, side))) for sketch in sketches]
        keys = [target.numpy().tobytes() for target in targets]
        if new := {key: target for key, target in zip(keys, targets, strict=True) if key not in self._found}:
            wanted = torch.cat(list(new.values())).expand(-1, 3, -1, -1)
            found = invert(cast(StyleGAN2Generator, self.drawing), wanted, config=self.config).ws
            self._found |= dict(zip(new, found, strict=True))
        return [self._found[key] for key in keys]


class Drawing:
    """A StyleGAN2 whose pictures are the sketches of its photos, (B, 3, H, W) in [-1, 1]; else as it is."""

    def __init__(self, generator: StyleGAN2Generator, sketch_generator: StyleSketchGenerator) -> None:
        self.generator, self.sketch_generator = generator, sketch_generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)

    def synthesize(self, ws: Tensor) -> SimpleNamespace:
        made = self.generator.synthesize(ws)
        return SimpleNamespace(image=(self.sketch_generator(made.features, made.image) * 2 - 1).expand(-1, 3, -1, -1))
