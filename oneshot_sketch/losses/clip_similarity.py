"""How far a drawn sketch is from the artist's in CLIP's eyes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def clip_similarity_loss(drawn: Tensor, true: Tensor) -> Tensor:
    """1 − cos(CLIP_I(drawn), CLIP_I(true)) of (B, p) image features, averaged."""
    return 1 - F.cosine_similarity(drawn, true, dim=1).mean()


def clip_directional_loss(drawn: Tensor, true: Tensor, photo: Tensor) -> Tensor:
    """1 − cos(CLIP_I(drawn) − CLIP_I(photo), CLIP_I(true) − CLIP_I(photo)) of (B, p) image features, averaged.

    Often said of StyleSketch, whose code compares the pictures themselves.
    """
    return 1 - F.cosine_similarity(drawn - photo, true - photo, dim=1).mean()
