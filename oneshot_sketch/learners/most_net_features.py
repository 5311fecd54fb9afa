"""Where MOST-Net hears style and content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from oneshot_sketch.models.perceptual_features import PerceptualFeatures, of_network

# network → layers of style, of content, and whether features are divided by their root mean square, so that weights of the
# loss made for VGG-19 suit them. SqueezeNet's have the strides of VGG-19's: 2, 4; 16.
HEARD = {
    "vgg19": (("pool1", "pool2"), ("pool4",), False),
    "squeezenet": (("relu1", "fire3"), ("pool5",), True),
}


@dataclass(frozen=True)
class StyleAndContent:
    """A network, and which of its layers tell style and content.

    Attributes:
        unit: whether features are divided by their root mean square over the training pairs.
    """

    features: PerceptualFeatures
    style: tuple[str, ...]
    content: tuple[str, ...]
    unit: bool

    @classmethod
    def from_pretrained(cls, network: str = "vgg19", weights: str | Path | None = None, caffe: bool = False) -> StyleAndContent:
        """
        Args:
            network: "vgg19" (the paper's) or "squeezenet".
            weights, caffe: of `PerceptualFeatures.from_pretrained`.

        Raises:
            InputError: another network, or weights that are not to be had.
        """
        style, content, unit = of_network(HEARD, network)
        return cls(PerceptualFeatures.from_pretrained(network, (*style, *content), weights, caffe), style, content, unit)

    @property
    def name(self) -> str:
        """What records call it."""
        return f"{self.features.name}, over their root mean square" if self.unit else self.features.name

    def to(self, device: torch.device) -> StyleAndContent:
        self.features.to(device)
        return self

    def __call__(self, pictures: Tensor, layers: tuple[str, ...]) -> list[Tensor]:
        """(B, 1 or 3, H, W) in [-1, 1] → (B, C, h, w) a layer."""
        return self.features(pictures / 2 + 0.5, layers)

    def scales(self, pictures: Tensor, layers: tuple[str, ...]) -> list[float]:
        """What features at each layer are divided by."""
        return self.features.root_mean_squares(pictures / 2 + 0.5, layers) if self.unit else [1.0] * len(layers)
