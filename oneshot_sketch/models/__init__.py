"""Networks: each in plain PyTorch, with loaders for the weights that others publish."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oneshot_sketch.models.stylegan2 import StyleGAN2Generator, StyleGAN2Output
    from oneshot_sketch.models.stylegan2_checkpoints import read_checkpoint
    from oneshot_sketch.models.stylegan2_discriminator import StyleGAN2Discriminator
    from oneshot_sketch.models.stylegan2_pickle import PickledNetwork, read_network_pickle

_HOME = {
    "PickledNetwork": "stylegan2_pickle",
    "StyleGAN2Discriminator": "stylegan2_discriminator",
    "StyleGAN2Generator": "stylegan2",
    "StyleGAN2Output": "stylegan2",
    "read_checkpoint": "stylegan2_checkpoints",
    "read_network_pickle": "stylegan2_pickle",
}
__all__ = [
    "PickledNetwork",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "StyleGAN2Output",
    "read_checkpoint",
    "read_network_pickle",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'oneshot_sketch.models' has no attribute {name!r}")
    return getattr(import_module(f"oneshot_sketch.models.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
