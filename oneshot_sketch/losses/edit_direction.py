"""The direction an edit takes in CLIP space, and how well an instruction points along it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Pooling = Literal["ins", "all"]


def edit_direction(photo: Tensor, sketch: Tensor) -> Tensor:
    """Δ = CLIP_I(sketch) − CLIP_I(photo) (Eq. 4), averaged over pairs and normalised.

    Args:
        photo, sketch: (N, p) float, projected but un-normalised image features.

    Returns:
        (p,) float of length 1.
    """
    return F.normalize((sketch - photo).mean(0), dim=-1)


def pool_rows(rows: Tensor, ins: tuple[int, int], pooling: Pooling) -> Tensor:
    """Mean of the `<ins>` rows, or of all rows as VISII does: (L, d) → (d,)."""
    return (rows[ins[0] : ins[1]] if pooling == "ins" else rows).mean(0)


def edit_cosine(direction: Tensor, text: Tensor) -> Tensor:
    """cos(Δ, C) of a unit (p,) direction and (p,) projected text features."""
    return F.cosine_similarity(direction, text, dim=-1)


def edit_direction_loss(cosine: Tensor, clamp: float | None = None) -> Tensor:
    """L_edit = 1 − cos(Δ, C).

    Deviation: the paper prints +cos (Eq. 5) and minimises it, which would turn the instruction away from the edit;
    VISII's code maximises the cosine, and so do we.

    Args:
        clamp: above this cosine the loss is flat (VISII: 0.5), so the reconstruction alone goes on.
    """
    return 1 - (cosine if clamp is None else cosine.clamp(max=clamp))
