"""Feature similarity: where both pictures have features, are they alike?"""

from __future__ import annotations

import piq
from torch import Tensor

from oneshot_sketch.images import grey
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable

MIN_SIDE = 16


def fsim(a: Tensor, b: Tensor) -> Tensor:
    """FSIM of BT.601 luma (Zhang et al. 2011), the index without colour: Σ S_PC·S_G·PC_m / Σ PC_m over pixels.

    PC is phase congruency (4 scales, 4 orientations), G the Scharr gradient, PC_m the larger PC of the two pictures.
    Pictures whose shorter side is 384 pixels or more are first averaged down by round(shorter side / 256), as the
    authors do. From 640 pixels on piq places these cells elsewhere than MATLAB, which moves the number by about .01.

    Args:
        a: (B, 3, H, W) float in [-1, 1].
        b: (B, 3, H, W) float in [-1, 1]; the order of the two does not matter.

    Returns:
        (B,) in [0, 1], 1 for equal pictures. Differentiable; where a picture is quite flat, so that its gradient G has no slope,
        the slope is taken for 0.

    Raises:
        InputError: batches that do not match, or a side under 16 pixels.
    """
    check_comparable(a, b, least=MIN_SIDE)
    # In double precision: phase congruency divides responses that vanish where a picture is flat.
    first, second = ((grey(image.double()) / 2 + 0.5).clamp(0, 1) for image in (a, b))
    for image in (first, second):
        if image.requires_grad:
            image.register_hook(lambda slope: slope.nan_to_num(0.0))
    return piq.fsim(first, second, reduction="none", chromatic=False).to(a.dtype)


class Fsim(PerImage):
    """Mean FSIM of drawn and artist's sketches."""

    label = "FSIM"
    settings = "luma, 4 scales, 4 orientations"
    higher_is_better = True

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return fsim(sketches, needed(truths, "truths"))
