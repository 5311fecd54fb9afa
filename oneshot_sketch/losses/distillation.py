"""What a mapper learns from latents that are known, or that a teacher found."""

from __future__ import annotations

import torch
from torch import Tensor


def distillation_loss(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean squared difference of the first latents of every row; the rest is neither compared nor moved.

    Args:
        predicted: (B, m, d).
        target: (B, n, d), n at least m.
        counts: (B,) int64, 1 to m: how many of each row count. Rows weigh alike, however many that is.
    """
    if int(counts.min()) < 1 or int(counts.max()) > predicted.shape[1]:
        raise ValueError(f"counts are {counts.tolist()}; {predicted.shape[1]} latents were predicted.")
    apart = (predicted - target[:, : predicted.shape[1]]).square().mean(2)
    counted = torch.arange(predicted.shape[1], device=counts.device) < counts[:, None]
    return (apart.masked_fill(~counted, 0).sum(1) / counts).mean()
