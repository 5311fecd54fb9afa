"""Pictures that other programs can make again from their formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

Drawing = Callable[[int, int, int], Tensor]


@pytest.fixture
def drawing() -> Drawing:
    """(height, width, seed) → (1, 3, H, W) in [-1, 1], grey, whole 8-bit levels: strokes on a shade with grain."""

    def draw(height: int, width: int, seed: int) -> Tensor:
        y, x = np.mgrid[:height, :width]
        strokes = (x * x // 7 + 3 * y + seed * y // 5) % 29 < 6 + seed
        shade = (x * 150 // width + y * (80 + 30 * seed) // height) % 256
        grain = (x * (31 + 4 * seed) + y * 17 + x * y) % 41
        pixels = np.where(strokes, shade // 2, 255 - shade // 3 - grain)
        return (torch.from_numpy(pixels).float() / 127.5 - 1).expand(1, 3, -1, -1)

    return draw


@pytest.fixture
def colours() -> tuple[Tensor, Tensor]:
    """Two (3, 3, 176, 192) batches in [-1, 1]: smooth colour with detail, and the same with little, more and much noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 11, 12, generator=generator) * 1.6 - 0.8
    a = torch.nn.functional.interpolate(coarse, scale_factor=16, mode="bicubic") + 0.2 * torch.randn(
        3, 3, 176, 192, generator=generator
    )
    noise = torch.tensor([0.05, 0.2, 0.6]).view(3, 1, 1, 1) * torch.randn(a.shape, generator=generator)
    return a.clamp(-1, 1), (a + noise).clamp(-1, 1)
