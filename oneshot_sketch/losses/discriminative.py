"""Losses of a fine-grained embedding of sketches and photos: learning it, and being led by it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def fine_grained_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean 1 − cos of (B, d) and (B, d), row by row: 0 where both say the same thing, 2 where the opposite."""
    return (1 - F.cosine_similarity(a, b, dim=1)).mean()


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2) -> Tensor:
    """Mean max(0, margin + ‖a − p‖ − ‖a − n‖) of (B, d) each: the photo a sketch shows must be nearer to it than another."""
    return F.triplet_margin_loss(anchor, positive, negative, margin=margin)
