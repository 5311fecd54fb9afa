"""How differently a network trained on photographs sees two pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def perceptual_loss(drawn: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Σ_l mean |φ_l(drawn) − φ_l(true)| over feature maps φ_l of any shapes, the same on both sides."""
    return torch.stack([(a - b).abs().mean() for a, b in zip(drawn, true, strict=True)]).sum()


def perceptual_mse_loss(drawn: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Σ_l mean (φ_l(drawn) − φ_l(true))² over feature maps φ_l of any shapes, the same on both sides, in float32.

    MOST-Net's style against the sketch and content against the photo (arXiv 2202.03596, Eqs. 11 and 12): features themselves,
    not their Gram matrices.
    """
    return torch.stack([F.mse_loss(a.float(), b.float()) for a, b in zip(drawn, true, strict=True)]).sum()


def part_crops(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """A square around every part of every sample, each at its own place.

    Args:
        images: (B, C, H, W).
        centres: (B, P, 2) float, x and y in pixels. Squares are shifted to lie inside the picture; one that is not finite is
            taken for the picture's centre.
        side: of the squares, pixels, at most that of the picture.

    Returns:
        (B · P, C, side, side), differentiable; the parts of a sample are neighbours.
    """
    height, width = images.shape[-2:]
    centres = torch.where(centres.isfinite(), centres, centres.new_tensor([(width - 1) / 2, (height - 1) / 2]))
    limit = centres.new_tensor([width - side, height - side])
    corners = (centres - (side - 1) / 2).round().clamp(min=torch.zeros_like(limit), max=limit).long().tolist()
    crops = [images[i, :, top : top + side, left : left + side] for i, parts in enumerate(corners) for left, top in parts]
    return torch.stack(crops)
