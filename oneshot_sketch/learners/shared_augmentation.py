"""Adaptive augmentation for a discriminator that compares (Karras et al. 2020, *ADA*), geometry only.

StyleSketch's training script moves photo, prediction and target each by a draw of its own, so that the photo no longer lies
under its sketch. Here all pictures of a sample share one transform. Colour is left alone: a sketch has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def random_transforms(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """Random similarities and shears, each ingredient with the given probability.

    The ingredients and their ranges are those of ADA's geometric half: mirror image, quarter turns, shifts of up to an
    eighth of the side, scale (log-normal, σ = 0.2 ln 2), rotation, unequal scale, rotation again, shift (σ = 1/8).

    Args:
        generator: on the CPU.

    Returns:
        (count, 2, 3) float32 on the CPU, from the new picture's coordinates to the old one's, both in [-1, 1].
    """

    def happens(share: float = 1.0) -> Tensor:
        return torch.rand(count, generator=generator) < probability * share

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator) * 2 - 1

    def normal() -> Tensor:
        return torch.randn(count, generator=generator)

    zero, one = torch.zeros(count), torch.ones(count)
    turned = 1 - math.sqrt(1 - probability)  # twice, so that either happens with `probability`
    matrix = torch.eye(3).repeat(count, 1, 1)
    matrix = matrix @ _scaling(torch.where(happens(0.5), -one, one), one)
    quarters = torch.randint(4, (count,), generator=generator)
    matrix = matrix @ _rotation(torch.where(happens(), quarters * math.pi / 2, zero))
    whole = happens()
    matrix = matrix @ _shift(torch.where(whole, uniform() / 4, zero), torch.where(whole, uniform() / 4, zero))
    scale = torch.where(happens(), torch.exp2(normal() * 0.2), one)
    matrix = matrix @ _scaling(scale, scale)
    matrix = matrix @ _rotation(torch.where(torch.rand(count, generator=generator) < turned, uniform() * math.pi, zero))
    stretch = torch.where(happens(), torch.exp2(normal() * 0.2), one)
    matrix = matrix @ _scaling(stretch, 1 / stretch)
    matrix = matrix @ _rotation(torch.where(torch.rand(count, generator=generator) < turned, uniform() * math.pi, zero))
    moved = happens()
    matrix = matrix @ _shift(torch.where(moved, normal() / 4, zero), torch.where(moved, normal() / 4, zero))
    return matrix[:, :2]


def transformed(images: Tensor, transforms: Tensor) -> Tensor:
    """(B, C, H, W) moved by (B, 2, 3), bilinear; beyond its edge a picture is reflected. The identity changes no value."""
    still = torch.eye(2, 3, device=transforms.device)
    if torch.equal(transforms, still.expand_as(transforms)):
        return images
    grid = F.affine_grid(transforms.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


@dataclass
class AdaptiveProbability:
    """How often to augment, by how sure the discriminator is of the artist's sketches.

    Attributes:
        target: of r = E sign(D(real)); above it the probability rises.
        limit: of the probability.
        ramp: real sketches that it takes to rise from 0 to the limit.
        value: the probability.
        signs, seen: sum of signs and number of real sketches since the last change, which comes every 128 sketches.
    """

    target: float
    limit: float
    ramp: int
    value: float = 0.0
    signs: float = 0.0
    seen: int = 0

    def observe(self, real: Tensor) -> None:
        """Take in the logits (B, …) of a batch of real sketches."""
        self.signs += float(real.detach().sign().flatten(1).mean(1).sum())
        self.seen += len(real)
        if self.seen >= 128:
            up = 1 if self.signs / self.seen > self.target else -1
            self.value = min(self.limit, max(0.0, self.value + up * self.limit * self.seen / self.ramp))
            self.signs, self.seen = 0.0, 0


def _matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix((x, zero, zero), (zero, y, zero), (zero, zero, one))


def _rotation(angle: Tensor) -> Tensor:
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix((cos, -sin, zero), (sin, cos, zero), (zero, zero, one))


def _shift(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix((one, zero, x), (zero, one, y), (zero, zero, one))
