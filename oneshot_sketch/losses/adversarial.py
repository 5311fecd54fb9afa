"""Generator against discriminator, on logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating: −log σ(D(fake)) = BCE(D(fake), 1), averaged over all logits of any shape."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """BCE(D(real), 1) + BCE(D(fake), 0), each averaged over its logits of any shape."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1_penalty(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """γ/2 · E ‖∇_x D(x)‖² on real x (Mescheder et al. 2018), D a sample's mean logit.

    On logits, not behind a sigmoid, whose gradient vanishes where D is sure.

    Args:
        logits: (B, …) what the discriminator says of `images`.
        images: (B, …) that require gradients.
        gamma: times the interval at which the penalty is taken, if not at every step.

    Returns:
        A scalar that can be differentiated further.
    """
    (slope,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), images, create_graph=True)
    return gamma / 2 * slope.square().flatten(1).sum(1).mean()
