"""What stage two of IDE minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_terms(
    fine: Tensor, artist: Tensor, seen: Tensor | None, wanted: Tensor | None, verdict: Tensor | None
) -> dict[str, Tensor]:
    """The terms of the generator's loss, unweighted scalars.

    Args:
        fine: drawn sketches (B, C, H, W).
        artist: the artist's, the same shape.
        seen, wanted: deep features of the two; without them there is no perceptual term.
        verdict: the discriminator's logits on `fine`; without them there is no adversarial term.
    """
    terms = {"pixel": F.l1_loss(fine, artist)}
    if seen is not None and wanted is not None:
        terms["perceptual"] = F.l1_loss(seen, wanted)
    if verdict is not None:
        terms["adversarial"] = F.binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))
    return terms


def discriminator_loss(on_artist: Tensor, on_drawn: Tensor) -> Tensor:
    """Cross-entropy of the logits on the artist's sketches against 1 and on drawn ones against 0, summed."""
    real = F.binary_cross_entropy_with_logits(on_artist, torch.ones_like(on_artist))
    return real + F.binary_cross_entropy_with_logits(on_drawn, torch.zeros_like(on_drawn))
