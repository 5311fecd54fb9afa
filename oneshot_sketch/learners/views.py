"""A pair seen several ways, so that an instruction does not learn one face by heart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augmented_views(photo: Tensor, sketch: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The pair itself, then `count` − 1 crops (80–100 % of each side) and mirror images of both alike.

    Args:
        photo, sketch: (1, 3, H, W) float32.

    Returns:
        Two (count, 3, H, W) tensors.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = photo.shape[-2:]
    views = [(photo, sketch)]
    for _ in range(count - 1):
        share, down, right, mirror = torch.rand(4, generator=generator).tolist()
        h, w = (round(side * (0.8 + 0.2 * share)) for side in (height, width))
        top, left = round(down * (height - h)), round(right * (width - w))
        both = torch.cat([photo, sketch])[..., top : top + h, left : left + w]
        both = F.interpolate(both, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)
        both = both.flip(-1) if mirror < 0.5 else both
        views.append((both[:1], both[1:]))
    photos, sketches = zip(*views, strict=True)
    return torch.cat(photos), torch.cat(sketches)
