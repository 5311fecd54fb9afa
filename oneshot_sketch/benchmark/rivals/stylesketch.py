"""StyleSketch (Yun et al. 2024) trained on the exemplar's pairs, on the features of a sketch prior's StyleGAN2."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from oneshot_sketch.backbone import MINI
from oneshot_sketch.benchmark.system import Unavailable, register
from oneshot_sketch.errors import InputError
from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.face_finder import the_face
from oneshot_sketch.images import to_pil
from oneshot_sketch.learners.stylesketch import StyleSketchLearner
from oneshot_sketch.learners.stylesketch_config import StyleSketchLearnerConfig
from oneshot_sketch.models.inversion import invert
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.sketch_prior import SketchPrior

logger = logging.getLogger(__name__)


@register("stylesketch")
class StyleSketch:
    """A sketch generator of its own for every exemplar; photos are inverted through the prior, and sketched in their own frame.

    A photo that the face finder refuses is left white, as the warning says; a pair it refuses is not learned from.

    Args:
        prior: "mini" or the folder of a `SketchPrior`; of its networks all but the sketch generator are used.
        changes: settings of `StyleSketchLearnerConfig` that differ from its defaults; the clip "mini" is the embedded backbone's.
    """

    def __init__(self, prior: str = "mini", changes: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        settings = {"seed": seed, **(changes or {})}
        if settings.get("clip") == "mini":
            settings["clip"] = str(MINI / "clip")
        config = StyleSketchLearnerConfig(**settings)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.prior = SketchPrior.from_pretrained(prior, device=device)
            self.learner = StyleSketchLearner(self.prior.generator, config)
        except InputError as error:
            raise Unavailable(str(error)) from None

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        prior = self.prior
        pairs = [pair for pair in pairs if self._found(pair.photo, pair.name)] or pairs
        aligned = [self._aligned(pair) for pair in pairs]
        photos = torch.cat([photo for photo, _ in aligned])
        inversion = invert(prior.generator, photos, prior.encoder, config=prior.config.inversion, perceptual=prior.perceptual)
        squares = [
            PhotoSketchPair(to_pil(photo)[0], to_pil(sketch)[0], pair.name, pair.style, pair.licence)
            for pair, (photo, sketch) in zip(pairs, aligned, strict=True)
        ]
        learned = self.learner.learn(squares, inversion.ws, progress=False)
        self.drawing = SketchPrior(
            prior.generator, learned.generator, prior.face_finder, prior.encoder, prior.config, perceptual=prior.perceptual
        )

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return [self._drawn(photo, f"photo {n}") for n, photo in enumerate(photos, 1)]

    def _drawn(self, photo: Image.Image, name: str) -> Image.Image:
        if not self._found(photo, name):
            return Image.new("RGB", photo.size, "white")
        return to_pil(self.drawing.sketch(photo).sketch)[0]

    def _found(self, photo: Image.Image, name: str) -> bool:
        try:
            the_face(self.prior.face_finder.find(photo), name)
        except InputError as error:
            logger.warning("StyleSketch passes over a photo: %s", error)
            return False
        return True

    def _aligned(self, pair: PhotoSketchPair) -> tuple[torch.Tensor, torch.Tensor]:
        """The square around the photo's face, of photo and sketch, (1, 3, side, side) each."""
        face = the_face(self.prior.face_finder.find(pair.photo), pair.name)
        crop, side = FaceCrop.around(face.points, pair.photo.size), self.prior.generator.config["resolution"]
        return crop.cut(pair.photo, side), crop.cut(pair.sketch, side)
