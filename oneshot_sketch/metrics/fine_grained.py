"""Does a picture show what is in the sketch? Cosine under an embedding that sketches and photos share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_two_sets
from oneshot_sketch.metrics.features import Features


def fine_grained_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of each row of one (B, d) float and the same row of the other, (B,) in [-1, 1].

    Raises:
        InputError: features of two shapes, or not finite.
    """
    check_two_sets(a, b)
    return F.cosine_similarity(a, b, dim=1, eps=1e-12)


class FineGrainedMeasure(PerImage):
    """Mean cosine of what was drawn and what it was drawn from.

    Args:
        features: of sketches and photos alike, such as a `FineGrainedEmbedding`; an embedding that what is judged was
            trained against can be pleased without being right, so take another.
    """

    label = "Fine-grained measure"
    higher_is_better = True

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.settings = f"{features.name}, cosine"
        self.features = features

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return fine_grained_similarity(self.features(sketches), self.features(needed(photos, "photos")))
