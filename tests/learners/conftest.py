from __future__ import annotations

import pytest
import torch
from torch import Tensor

from oneshot_sketch import FrozenInstructPix2Pix


@pytest.fixture(scope="session")
def mini() -> FrozenInstructPix2Pix:
    return FrozenInstructPix2Pix.from_pretrained("mini")


@pytest.fixture(scope="session")
def oval() -> Tensor:
    """Bright on a dark ground, (1, 3, 128, 128)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    return (torch.sigmoid(20 * (0.5 - x**2 - 0.7 * y**2)) * 1.4 - 0.7).expand(1, 3, -1, -1).contiguous()
