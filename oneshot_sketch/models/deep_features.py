"""Frozen classifiers cut off at one layer: what a perceptual loss compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.weights import read_tensors

# name → the layer of torchvision's `.features` that is read by default
LAYERS = {"vgg19": 34, "squeezenet": 12}
TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE_BGR = ((103.94, 116.78, 123.68), (1.0, 1.0, 1.0))


class DeepFeatures(nn.Module):
    """RGB (B, 3, H, W) in [0, 1] → features (B, C, h, w) of one layer. Never trained.

    Args:
        network: "vgg19" (layer 34 is conv5_4 before its ReLU) or "squeezenet" (1.1; layer 12 is fire9).
        weights: a state dict of torchvision's names; None takes torchvision's own from its cache or the network.
        caffe: whether those weights read BGR in [0, 255].
        layer: index in torchvision's `.features`.

    Raises:
        InputError: an unknown network or layer, or weights that cannot be had or do not fit.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: str = "vgg19", weights: str | Path | None = None, caffe: bool = False, layer: int | None = None
    ) -> None:
        super().__init__()
        if network not in LAYERS:
            raise InputError(f"there is no network {network!r}; choose one of {', '.join(LAYERS)}.")
        last = LAYERS[network] if layer is None else layer
        features: Any = _whole(network, weights).features
        if not 0 <= last < len(features):
            raise InputError(f"{network} has no layer {last}; choose 0 to {len(features) - 1}.")
        self.caffe, self.name = caffe, f"{network}, layer {last}"
        self.layers = features[: last + 1].eval().requires_grad_(False)
        for module in self.layers.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        mean, deviation = CAFFE_BGR if caffe else TORCHVISION
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures.flip(1) * 255 if self.caffe else pictures
        return self.layers((x - self.mean) / self.deviation)


def _whole(network: str, weights: str | Path | None) -> nn.Module:
    from torchvision.models import squeezenet1_1, vgg19

    build: Any = {"vgg19": vgg19, "squeezenet": squeezenet1_1}[network]
    if weights is None:
        try:
            return build(weights="DEFAULT")
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"torchvision's weights of {network} cannot be had here ({reason}); give a file of them.") from None
    whole = build(weights=None)
    try:
        whole.load_state_dict(read_tensors(weights))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{weights} does not hold the weights of {network} ({reason}); choose the right file.") from None
    return whole
