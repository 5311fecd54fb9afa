"""A MOST-Net of a few kilobytes, and what it learns from."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from oneshot_sketch import PhotoSketchPair
from oneshot_sketch.learners.most_net import MostNetConfig
from oneshot_sketch.learners.most_net_features import StyleAndContent
from oneshot_sketch.models.perceptual_features import PerceptualFeatures

SMALL: dict[str, Any] = {
    "steps": 4,
    "batch": 2,
    "width": 4,
    "residual_blocks": 1,
    "memory_items": 16,
    "discriminator_width": 4,
    "size": 32,
    "log_every": 2,
}


def config(**changes: Any) -> MostNetConfig:
    return MostNetConfig(**SMALL | changes)


def features(unit: bool = True) -> StyleAndContent:
    """Two random convolutions, one heard for style and one for content."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1))
    heard = PerceptualFeatures("Tiny", layers, {"style": 1, "content": 2})
    return StyleAndContent(heard, ("style",), ("content",), unit)


def pairs(count: int = 3, width: int = 40, height: int = 50) -> list[PhotoSketchPair]:
    from conftest import picture

    photos = [picture(width, height, seed) for seed in range(count)]
    return [PhotoSketchPair(photo, photo.convert("L").point(lambda v: 255 - v), name=str(i)) for i, photo in enumerate(photos)]
