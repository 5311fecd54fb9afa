"""Scoot: are the same textures in the same places? The measure made for face sketches."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from oneshot_sketch.images import grey
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable

LEVELS = 6
BLOCKS = 4
NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1))  # rows down, columns right


def scoot(a: Tensor, b: Tensor) -> Tensor:
    """Structure co-occurrence texture of BT.601 luma (Fan et al. 2019): 1 / (1 + ‖Ψ(a) − Ψ(b)‖₂).

    Ψ holds, for each of 4×4 blocks, contrast Σ (i − j)² p(i, j) and energy Σ p(i, j)² of the co-occurrence p of
    neighbouring grey levels, 6 levels, the mean of 4 directions. Settings and rounding are those of the authors' code,
    which rounds the mean counts to integers. It refuses a blank picture; here a blank drawing is judged as any other.

    Args:
        a: (B, 3, H, W) float in [-1, 1].
        b: (B, 3, H, W) float in [-1, 1]; the order of the two does not matter.

    Returns:
        (B,) in (0, 1], 1 where all textures agree, which does not mean equal pictures.

    Raises:
        InputError: batches that do not match, or a side under 8 pixels.
    """
    check_comparable(a, b, least=2 * BLOCKS)
    return 1 / (1 + (_textures(a) - _textures(b)).norm(dim=1))


class Scoot(PerImage):
    """Mean Scoot of drawn and artist's sketches."""

    label = "Scoot"
    settings = "luma, 6 levels, 4×4 blocks"
    higher_is_better = True

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return scoot(sketches, needed(truths, "truths"))


def _textures(images: Tensor) -> Tensor:
    """Ψ: (B, 3, H, W) → (B, 32), contrast and energy of every block."""
    pixels = (grey(images)[:, 0] * 127.5 + 127.5).round().clamp(0, 255).long()
    levels = (LEVELS * pixels // 255).clamp(max=LEVELS - 1)
    rows, columns = ([side * i // BLOCKS for i in range(BLOCKS + 1)] for side in levels.shape[1:])
    blocks = [levels[:, top:bottom, left:right] for top, bottom in pairwise(rows) for left, right in pairwise(columns)]
    return torch.cat([_contrast_and_energy(block) for block in blocks], dim=1).to(images.dtype)


def _contrast_and_energy(block: Tensor) -> Tensor:
    """(B, h, w) levels → (B, 2)."""
    total = torch.stack([_pairs(block, down, right) for down, right in NEIGHBOURS]).sum(0)
    counts = (2 * total + len(NEIGHBOURS)) // (2 * len(NEIGHBOURS))  # the mean, halves rounded up
    p = counts / counts.sum((1, 2), keepdim=True)
    step = torch.arange(LEVELS, device=block.device)
    contrast = (p * (step[:, None] - step).square()).sum((1, 2))
    return torch.stack([contrast, p.square().sum((1, 2))], dim=1)


def _pairs(block: Tensor, down: int, right: int) -> Tensor:
    """(B, h, w) levels → (B, 6, 6) how often level i has level j as its neighbour `down` and `right` of it."""
    batch, height, width = block.shape
    here = block[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    there = block[:, max(0, down) : height - max(0, -down), max(0, right) : width - max(0, -right)]
    picture = torch.arange(batch, device=block.device).view(-1, 1, 1)
    index = (picture * LEVELS + here) * LEVELS + there
    return index.flatten().bincount(minlength=batch * LEVELS**2).view(batch, LEVELS, LEVELS)
