"""What MOST-Net asks of a drawn sketch: that it pass for real (Eq. 9), and that its features be the sketch's and the photo's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """−E log D(p, s) − E log(1 − D(p, ŝ)) of verdicts given as logits of any shape; a scalar."""
    return F.softplus(-real).mean() + F.softplus(drawn).mean()


def generator_loss(drawn: Tensor) -> Tensor:
    """−E log D(p, ŝ), the non-saturating form; a scalar."""
    return F.softplus(-drawn).mean()


def feature_loss(drawn: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Σ over taps of the mean squared difference: style against the sketch (Eq. 11), content against the photo (Eq. 12).

    Features themselves, not their Gram matrices.

    Args:
        drawn, wanted: (B, C, h, w) float, a tensor a tap.

    Returns:
        A scalar.
    """
    return torch.stack([F.mse_loss(a.float(), b.float()) for a, b in zip(drawn, wanted, strict=True)]).sum()
