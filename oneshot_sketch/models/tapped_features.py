"""Frozen ImageNet networks, heard at a few of their layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.weights import read_tensors

NetworkName = Literal["vgg19", "squeezenet"]
# what torchvision's weights read: RGB in [0, 1], minus a mean, over a deviation; what Caffe's do: BGR in [0, 255] minus a mean
TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE_BGR = ((103.94, 116.78, 123.68), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Network:
    """A torchvision network and after which of its `features` style and content are taken.

    Attributes:
        unit: whether features are divided by their root mean square, so that loss weights made for VGG-19 suit them.
    """

    title: str
    builder: str
    style: tuple[int, ...]
    content: tuple[int, ...]
    unit: bool


NETWORKS: dict[NetworkName, Network] = {
    "vgg19": Network("VGG-19", "vgg19", (4, 9), (27,), unit=False),  # pool1, pool2; pool4
    "squeezenet": Network("SqueezeNet 1.1", "squeezenet1_1", (1, 4), (8,), unit=True),  # the same strides: 2, 4; 16
}


class TappedFeatures(nn.Module):
    """Features for the style and content losses of MOST-Net.

    Args:
        network: which, and where it is tapped.
        features: its layers with weights; frozen in place.
        settings: what reports call it.
        caffe: whether the weights read Caffe's input.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Network, features: nn.Sequential, settings: str, caffe: bool = False) -> None:
        super().__init__()
        self.style, self.content, self.unit, self.caffe = network.style, network.content, network.unit, caffe
        self.settings = f"{settings}, over their root mean square" if network.unit else settings
        self.features = features[: max(*network.style, *network.content) + 1]
        for name, value in zip(("mean", "deviation"), CAFFE_BGR if caffe else TORCHVISION, strict=True):
            self.register_buffer(name, torch.tensor(value).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, name: str = "vgg19") -> TappedFeatures:
        """Download torchvision's ImageNet weights.

        Raises:
            InputError: another network, or weights out of reach.
        """
        from torchvision.models import get_model

        network = _network(name)
        try:
            model: Any = get_model(network.builder, weights="IMAGENET1K_V1")
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{network.title}'s weights cannot be downloaded ({reason}); give them to from_file().") from error
        return cls(network, model.features, f"{network.title}, torchvision's weights")

    @classmethod
    def from_file(cls, name: str, path: str | Path, caffe: bool = False) -> TappedFeatures:
        """Read a state dict with torchvision's names.

        Raises:
            InputError: another network, or a file that is missing or holds something else.
        """
        from torchvision.models import get_model

        network = _network(name)
        with torch.device("meta"):
            model: Any = get_model(network.builder, weights=None)
        state = {key: value for key, value in read_tensors(path).items() if key.startswith("features.")}
        try:
            model.features.load_state_dict({key.removeprefix("features."): value for key, value in state.items()}, assign=True)
        except RuntimeError as error:
            raise InputError(f"{path} does not hold {network.title} under torchvision's names; give that file.") from error
        return cls(network, model.features, f"{network.title}, {'Caffe' if caffe else Path(path).name} weights", caffe)

    def forward(self, images: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """(B, 1 or 3, H, W) float in [-1, 1] → (B, C, h, w) a tap."""
        x = images.expand(-1, 3, -1, -1) / 2 + 0.5
        x = ((x.flip(1) * 255 if self.caffe else x) - self.mean) / self.deviation
        found = {}
        for index, layer in enumerate(self.features[: max(taps) + 1]):
            x = layer(x)
            if index in taps:
                found[index] = x
        return [found[tap] for tap in taps]

    @torch.no_grad()
    def scales(self, images: Tensor, taps: Sequence[int]) -> list[float]:
        """What features at each tap are divided by: their root mean square over images, or 1."""
        if not self.unit:
            return [1.0] * len(taps)
        squares = [[tap.square().mean() for tap in self(image[None], taps)] for image in images]
        return [torch.stack(tap).mean().sqrt().item() for tap in zip(*squares, strict=True)]


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise InputError(f"there is no network {name!r} to take features from; choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
