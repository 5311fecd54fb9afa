"""Frozen ImageNet classifiers heard at named layers: what perceptual, style and content losses compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.weights import read_tensors

# what torchvision's weights read: RGB in [0, 1], minus a mean, over a deviation; what Caffe's do: BGR in [0, 255] minus a mean
TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE_BGR = ((103.94, 116.78, 123.68), (1.0, 1.0, 1.0))
CAFFE_GAIN = 255 * 0.226  # by which Caffe's input is larger than torchvision's, and so its maps

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Classifier:
    """A network of torchvision: what reports call it, and its builder."""

    title: str
    builder: str

    def downloaded(self) -> dict[str, Tensor]:
        """Torchvision's ImageNet weights, from its cache or the net.

        Raises:
            InputError: they are out of reach.
        """
        from torchvision import models

        weights: Any = models.get_model_weights(self.builder)["IMAGENET1K_V1"]
        try:
            return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError) as error:
            reason = f"{self.title}'s weights cannot be downloaded ({str(error).splitlines()[0]})"
            raise InputError(f"{reason}; give their file, or another network.") from error

    def features(self, state: Mapping[str, Tensor], source: str | Path) -> nn.Sequential:
        """Its layers before the classifier, with the weights of a state dict under torchvision's names.

        Raises:
            InputError: they are those of another network.
        """
        from torchvision import models

        with torch.device("meta"):
            network: Any = models.get_model(self.builder, weights=None)
        own = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
        try:
            network.features.load_state_dict(own, assign=True)
        except RuntimeError:
            raise InputError(f"{source} does not hold {self.title} under torchvision's names; give that file.") from None
        return network.features


@dataclass(frozen=True)
class Network(Classifier):
    """
    Attributes:
        layers: names of its `features`, in order.
        least: side of the smallest picture of which anything is left after its last layer.
    """

    layers: tuple[str, ...]
    least: int = 1


def _vgg(*convolutions: int) -> tuple[str, ...]:
    """conv1_1, relu1_1, …, pool1, … with so many convolutions a block."""
    blocks = [
        [*(f"{kind}{block}_{i}" for i in range(1, count + 1) for kind in ("conv", "relu")), f"pool{block}"]
        for block, count in enumerate(convolutions, 1)
    ]
    return tuple(name for block in blocks for name in block)


NETWORKS = {
    "vgg16": Network("VGG-16", "vgg16", _vgg(2, 2, 3, 3, 3)),
    "vgg19": Network("VGG-19", "vgg19", _vgg(2, 2, 4, 4, 4)),
    "squeezenet": Network(
        "SqueezeNet 1.1",
        "squeezenet1_1",
        ("conv1", "relu1", "pool1", "fire2", "fire3", "pool3", "fire4", "fire5", "pool5", "fire6", "fire7", "fire8", "fire9"),
        least=32,
    ),
}


class PerceptualFeatures(nn.Module):
    """Pictures → feature maps after the layers that are heard. Never trained.

    Args:
        name: what records call it, weights included.
        features: layers in order; frozen in place.
        layers: those heard: name → index in `features`.
        side: pictures are resized to a square of so many pixels first; None leaves them.
        caffe: whether the weights read Caffe's input.
        least: side of the smallest picture that its layers take.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        name: str,
        features: nn.Sequential,
        layers: Mapping[str, int],
        side: int | None = None,
        caffe: bool = False,
        least: int = 1,
    ) -> None:
        super().__init__()
        self.name, self.layers, self.side, self.caffe, self.least = name, dict(layers), side, caffe, least
        self.features = features[: max(layers.values()) + 1]
        for module in self.features.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # or the map before it would change
        for key, value in zip(("mean", "deviation"), CAFFE_BGR if caffe else TORCHVISION, strict=True):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls,
        network: str,
        layers: Sequence[str],
        weights: str | Path | None = None,
        caffe: bool = False,
        side: int | None = None,
    ) -> PerceptualFeatures:
        """
        Args:
            network: a key of `NETWORKS`.
            layers: those heard, by their names there.
            weights: file of a state dict under torchvision's names; None takes torchvision's own, from its cache or the net.
            caffe, side: as of the class.

        Raises:
            InputError: torchvision is not installed, or the network, a layer or the weights are not to be had.
        """
        chosen = of_network(NETWORKS, network)
        if unknown := [layer for layer in layers if layer not in chosen.layers]:
            raise InputError(f"{chosen.title} has no layer {unknown[0]!r}; choose one of {', '.join(chosen.layers)}.")
        if weights is None:
            features, source = chosen.features(chosen.downloaded(), "the download"), "torchvision's weights"
        else:
            features = chosen.features(read_tensors(weights), weights)
            source = "Caffe weights" if caffe else f"weights {Path(weights).name}"
        places = {layer: chosen.layers.index(layer) for layer in layers}
        return cls(f"{chosen.title}, {source}", features, places, side, caffe, chosen.least)

    @property
    def gain(self) -> float:
        """About how many times larger the maps are than with torchvision's weights."""
        return CAFFE_GAIN if self.caffe else 1.0

    def train(self, mode: bool = True) -> PerceptualFeatures:
        """Stays in evaluation mode, whatever a module around it does."""
        return super().train(False)

    def forward(self, pictures: Tensor, layers: Sequence[str] | None = None) -> list[Tensor]:
        """
        Args:
            pictures: (B, 1 or 3, H, W) float in [0, 1], RGB or grey.
            layers: some of those heard; default all.

        Returns:
            One map (B, C, h, w) a layer, in their order, differentiable.

        Raises:
            InputError: pictures, or a `side`, too small for the network.
        """
        if (size := self.side or min(pictures.shape[-2:])) < self.least:
            raise InputError(f"{self.name}, reads no {size} pixels; give pictures or a perceptual_side of at least {self.least}.")
        wanted = [self.layers[layer] for layer in (self.layers if layers is None else layers)]
        x = pictures.expand(-1, 3, -1, -1)
        x = ((x.flip(1) * 255 if self.caffe else x) - self.mean) / self.deviation
        if self.side is not None:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        found = {}
        for index, layer in enumerate(self.features[: max(wanted) + 1]):
            x = layer(x)
            if index in wanted:
                found[index] = x
        return [found[index] for index in wanted]

    @torch.no_grad()
    def root_mean_squares(self, pictures: Tensor, layers: Sequence[str]) -> list[float]:
        """The size of the features at each layer, over pictures like those of `forward`."""
        squares = [[map.square().mean() for map in self(picture[None], layers)] for picture in pictures]
        return [torch.stack(layer).mean().sqrt().item() for layer in zip(*squares, strict=True)]


def of_network(choices: Mapping[str, Choice], network: str) -> Choice:
    """What `choices` hold for a network.

    Raises:
        InputError: nothing.
    """
    if network not in choices:
        raise InputError(f"there is no network {network!r} here; choose one of {', '.join(choices)}.")
    return choices[network]
