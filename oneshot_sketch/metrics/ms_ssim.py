"""Structural similarity over several scales."""

from __future__ import annotations

from piq import multi_scale_ssim
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, sec. 3.2
WINDOW = 11


def ms_ssim(a: Tensor, b: Tensor, scales: int = 5) -> Tensor:
    """MS-SSIM of BT.601 luma (Wang et al. 2003, eq. 7): ∏ⱼ csⱼ^wⱼ · ssim_M^w_M over pictures halved M − 1 times.

    Window and data range as in `ssim`. A negative term counts as 0, since its power is not real. With fewer scales
    than the paper's five the first weights are kept and normalised to sum to 1.

    Args:
        a: (B, 3, H, W) float in [-1, 1].
        b: (B, 3, H, W) float in [-1, 1]; the order of the two does not matter.
        scales: 2 to 5. Five need 161 pixels a side, four 81, three 41, two 21.

    Returns:
        (B,) in [0, 1], 1 for equal pictures.

    Raises:
        InputError: batches that do not match, too small for that many scales, or another number of scales.
    """
    if not 2 <= scales <= len(WEIGHTS):
        raise InputError(f"MS-SSIM has 2 to {len(WEIGHTS)} scales, not {scales}.")
    check_comparable(a, b, least=(WINDOW - 1) * 2 ** (scales - 1) + 1)
    first, second = ((grey(image) / 2 + 0.5).clamp(0, 1) for image in (a, b))
    weights = None if scales == len(WEIGHTS) else first.new_tensor(WEIGHTS[:scales])
    return multi_scale_ssim(first, second, WINDOW, 1.5, reduction="none", scale_weights=weights)


class MultiScaleSsim(PerImage):
    """Mean MS-SSIM of drawn and artist's sketches; `scales` as in `ms_ssim`."""

    label = "MS-SSIM"
    higher_is_better = True

    def __init__(self, scales: int = 5) -> None:
        super().__init__()
        self.scales = scales
        self.settings = f"luma, Gaussian 11×11, σ 1.5, {scales} scales"

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return ms_ssim(sketches, needed(truths, "truths"), self.scales)
