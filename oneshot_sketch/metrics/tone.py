"""Distance between how light and dark two pictures are, wherever the tones lie."""

from __future__ import annotations

from torch import Tensor

from oneshot_sketch.images import grey
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable


def grey_levels(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] → (B, H·W) in [0, 1], from the darkest pixel's luma to the lightest's."""
    return (grey(images) / 2 + 0.5).flatten(1).sort(dim=1).values


def tone_distance(a: Tensor, b: Tensor) -> Tensor:
    """Earth mover's distance between two grey-level histograms: the Wasserstein-1 distance in one dimension.

    It equals the mean |sorted a − sorted b| (Peyré & Cuturi 2019, sec. 2.6), so no bins are needed.

    Args:
        a: (B, 3, H, W) float in [-1, 1].
        b: (B, 3, H, W) float in [-1, 1].

    Returns:
        (B,) in grey levels of [0, 1]: .1 means that tones differ by a tenth of black-to-white on average.

    Raises:
        InputError: batches that do not match.
    """
    check_comparable(a, b)
    return (grey_levels(a) - grey_levels(b)).abs().mean(1)


class ToneDistance(PerImage):
    """Mean tone distance of drawn and artist's sketches."""

    label = "Tone distance"
    settings = "luma, Wasserstein-1"
    higher_is_better = False

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return tone_distance(sketches, needed(truths, "truths"))
