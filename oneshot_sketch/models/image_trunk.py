"""Convolutional trunks under the sketch mapper and the fine-grained embedding: torchvision's, and one for small pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.weights import read_tensors

Backbone = Literal["vgg16", "resnet50", "small"]

# What torchvision's weights expect of RGB in [0, 1].
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageTrunk(nn.Module):
    """Pictures → a feature map, with the side 1/32 of theirs (small: 1/8).

    Args:
        backbone: "resnet50" up to its last stage, "vgg16" up to its last pooling, or "small": strided convolutions and
            residual blocks with group normalisation, for 64 to 128 pixels.
        side: pictures are resized to it.
        widths: channels of small's three stages, multiples of 8.
        units: residual blocks in each.
    """

    def __init__(self, backbone: Backbone, side: int, widths: Sequence[int] = (48, 96, 192), units: int = 2) -> None:
        super().__init__()
        self.backbone, self.side = backbone, side
        if backbone == "small":
            if len(widths) != 3 or any(width < 8 or width % 8 for width in widths) or units < 1:
                raise ValueError(f"widths are {widths} and units {units}; give three multiples of 8, and at least 1.")
            self.layers, self.channels = _small(widths, units), widths[-1]
        elif backbone in ("vgg16", "resnet50"):
            self.layers, self.channels = _torchvision(backbone)
        else:
            raise ValueError(f"backbone is {backbone!r}; give vgg16, resnet50 or small.")
        self.stride = 8 if backbone == "small" else 32
        if side < 32 or side % 32:
            raise ValueError(f"pictures are read at {side} pixels; give a multiple of 32.")

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, h, w) in [-1, 1] → (B, channels, side / stride, side / stride); grey counts for all three colours."""
        if images.shape[-2:] != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        mean, deviation = (images.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        return self.layers((images.expand(-1, 3, -1, -1) / 2 + 0.5 - mean) / deviation)

    def load_imagenet(self, weights: str | Path = "imagenet") -> None:
        """Start from what torchvision's network learned on ImageNet.

        Args:
            weights: a state dict under torchvision's names; "imagenet" takes torchvision's own, from its cache or the net.

        Raises:
            InputError: weights out of reach, of another network, or asked for small, which has none.
        """
        if self.backbone == "small":
            raise InputError("the small backbone has no ImageNet weights; start it from noise, or choose another backbone.")
        state = read_tensors(weights) if weights != "imagenet" else _downloaded(self.backbone)
        state = {key: value for key, value in state.items() if not key.startswith(("fc.", "classifier."))}
        try:
            self.layers.load_state_dict({key.removeprefix("features."): value for key, value in state.items()})
        except RuntimeError:
            raise InputError(f"{weights} does not hold {self.backbone} under torchvision's names; give that file.") from None


class _Unit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _small(widths: Sequence[int], units: int) -> nn.Sequential:
    layers, before = nn.Sequential(), 3
    for width in widths:
        layers.append(nn.Conv2d(before, width, 3, 2, 1))
        layers.extend(_Unit(width) for _ in range(units))
        before = width
    return layers.extend([nn.GroupNorm(8, before), nn.SiLU()])


def _torchvision(backbone: str) -> tuple[nn.Sequential, int]:
    from torchvision.models import resnet50
    from torchvision.models.vgg import cfgs, make_layers

    if backbone == "vgg16":
        return make_layers(cfgs["D"]), 512  # its classifier, most of its weights, is never made
    stages = OrderedDict(resnet50(weights=None).named_children())
    del stages["avgpool"], stages["fc"]
    return nn.Sequential(stages), 2048


def _downloaded(backbone: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    try:
        weights: Any = get_model_weights(backbone)["IMAGENET1K_V1"]
        return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{backbone}'s weights cannot be downloaded ({error}); give their file, or none.") from error
