"""Feature maps of a frozen classifier, for perceptual losses; its name says which weights they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.weights import read_tensors

# What torchvision's weights expect of RGB in [0, 1]; and Caffe's BGR in [0, 255], in the order R, G, B.
TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = ((123.68, 116.78, 103.94), (1.0, 1.0, 1.0))
CAFFE_GAIN = 255 * 0.226  # by which its input is larger, and so its maps; divided out, or the losses' weights would not suit
# name → title, torchvision's builder, indices in `.features` that are read
NETWORKS = {
    "vgg16": ("VGG-16", "vgg16", (3, 8, 15, 22)),  # relu1_2, relu2_2, relu3_3, relu4_3
    "squeezenet": ("SqueezeNet 1.1", "squeezenet1_1", (1, 4, 7, 10)),  # relu1, fire3, fire5, fire7
}
LEAST = 32  # pixels; below, nothing is left of SqueezeNet's last map


class PerceptualFeatures(nn.Module):
    """Pictures → the feature maps a perceptual loss compares.

    Args:
        name: what records call it, weights included.
        features: layers in order; frozen in place.
        taps: index of the layers after which maps are taken.
        side: pictures are resized to a square of so many pixels first, as the paper's code does with 224; None leaves them.
        caffe: whether the weights read Caffe's input.
        least: side of the smallest picture that its layers take.
    """

    def __init__(
        self, name: str, features: nn.Sequential, taps: Sequence[int], side: int | None = 224, caffe: bool = False, least: int = 1
    ) -> None:
        super().__init__()
        self.name, self.taps, self.side, self.caffe, self.least = name, tuple(taps), side, caffe, least
        self.features = features[: max(taps) + 1]
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # or the map before it would change
        self.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls, network: str = "vgg16", weights: str | Path | None = None, side: int | None = 224, caffe: bool = False
    ) -> PerceptualFeatures:
        """
        Args:
            network: "vgg16" or "squeezenet".
            weights: file of a state dict under torchvision's names; None takes torchvision's own, from its cache or the net.
            side, caffe: as of the class.

        Raises:
            InputError: torchvision is not installed, or the network or its weights are not to be had.
        """
        if network not in NETWORKS:
            raise InputError(f"there is no perceptual network {network!r}; choose one of {', '.join(NETWORKS)}.")
        title, builder, taps = NETWORKS[network]
        try:
            import torchvision
        except ImportError:
            raise InputError("perceptual losses need torchvision; run pip install 'oneshot-sketch[metrics]'.") from None
        if weights is None:
            source, state = "torchvision's weights", _downloaded(torchvision.models.get_model_weights(builder), title)
        else:
            source, state = f"weights {Path(weights).name}", read_tensors(weights)
        with torch.device("meta"):
            classifier: Any = torchvision.models.get_model(builder, weights=None)
        own = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
        try:
            classifier.features.load_state_dict(own, assign=True)
        except RuntimeError:
            raise InputError(f"{weights} does not hold {title} under torchvision's names; give that file.") from None
        return cls(f"{title}, {source}", classifier.features, taps, side, caffe, LEAST)

    def train(self, mode: bool = True) -> PerceptualFeatures:
        """Stays in evaluation mode, whatever a module around it does."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 1 or 3, H, W) in [-1, 1] → one map a tap, fine to coarse, differentiable; grey counts for all three colours.

        Raises:
            InputError: pictures, or a `side`, too small for the network.
        """
        if (size := self.side or min(images.shape[-2:])) < self.least:
            raise InputError(f"{self.name}, reads no {size} pixels; give a perceptual_side of at least {self.least}.")
        x = images.expand(-1, 3, -1, -1) / 2 + 0.5
        if self.caffe:
            x = x * 255
        mean, deviation = (x.new_tensor(v).view(1, 3, 1, 1) for v in (CAFFE if self.caffe else TORCHVISION))
        x = (x - mean) / deviation
        if self.caffe:
            x = x.flip(1)
        if self.side is not None:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                maps.append(x / CAFFE_GAIN if self.caffe else x)
        return maps


def _downloaded(weights: Any, title: str) -> dict[str, Tensor]:
    try:
        return weights["IMAGENET1K_V1"].get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{title}'s weights cannot be downloaded ({error}); give their file, or another network.") from error
