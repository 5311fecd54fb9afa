"""Structural similarity of two pictures' grey levels."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from oneshot_sketch.images import grey
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable

WINDOW = 11


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of BT.601 luma (Wang et al. 2004, eq. 13), 11×11 Gaussian window with σ = 1.5, data range 1.

    As in the authors' code and unlike torchmetrics' own mean, only windows that lie wholly inside the picture count.

    Args:
        a: (B, 3, H, W) float in [-1, 1].
        b: (B, 3, H, W) float in [-1, 1]; the order of the two does not matter.

    Returns:
        (B,) in [-1, 1], 1 for equal pictures.

    Raises:
        InputError: batches that do not match, or a side of 11 pixels or less.
    """
    check_comparable(a, b, least=WINDOW + 1)
    first, second = (grey(image) / 2 + 0.5 for image in (a, b))
    _, values = structural_similarity_index_measure(first, second, sigma=1.5, data_range=1.0, return_full_image=True)
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    return values[:, 0, inside, inside].mean((1, 2))


class Ssim(PerImage):
    """Mean SSIM of drawn and artist's sketches."""

    label = "SSIM"
    settings = "luma, Gaussian 11×11, σ 1.5"
    higher_is_better = True

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return ssim(sketches, needed(truths, "truths"))
