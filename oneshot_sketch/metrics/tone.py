"""Distance between how light and dark two pictures are, wherever the tones lie."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.images import grey
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable


def grey_levels(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] → (B, H·W) in [0, 1], from the darkest pixel's luma to the lightest's."""
    return (grey(images) / 2 + 0.5).flatten(1).sort(dim=1).values


def with_levels(image: Tensor, levels: Tensor) -> Tensor:
    """Another picture's grey levels put where an image has its own, dark where it is dark (histogram matching).

    Args:
        image: (B, 1, H, W) in [0, 1].
        levels: (B, H·W) ascending, as of `grey_levels`.

    Returns:
        (B, 1, H, W). Pixels that were equal stay so, at the mean of the levels that fall to them.
    """
    own = image.flatten(1)
    ordered = own.sort(dim=1).values
    first, past = (torch.searchsorted(ordered, own, right=right) for right in (False, True))
    up_to = F.pad(levels.double().cumsum(1), (1, 0))
    return ((up_to.gather(1, past) - up_to.gather(1, first)) / (past - first)).view_as(image).to(image)


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
