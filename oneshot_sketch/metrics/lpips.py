"""Learned perceptual distance: pictures are near where a network trained to name things sees them alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torchmetrics.functional.image.lpips
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_comparable, check_images
from oneshot_sketch.models.perceptual_features import Classifier
from oneshot_sketch.weights import read_tensors

MIN_SIDE = 32
# What LPIPS subtracts from RGB in [-1, 1], and divides by.
MEAN = (-0.030, -0.088, -0.188)
STD = (0.458, 0.448, 0.450)

NetName = Literal["alex", "vgg", "squeeze"]


@dataclass(frozen=True)
class Trunk(Classifier):
    """A network, and after which of its `features` (index → channels) pictures are compared."""

    taps: Mapping[int, int]

    def heads(self, path: str | Path) -> list[Tensor]:
        """The published channel weights, one (C,) a tap."""
        state = read_tensors(path)
        shapes = {f"lin{i}.model.1.weight": (1, channels, 1, 1) for i, channels in enumerate(self.taps.values())}
        if {name: tuple(value.shape) for name, value in state.items()} != shapes:
            raise InputError(f"{path} does not hold the {len(shapes)} LPIPS v0.1 heads for {self.title}; give that file.")
        return [state[name].flatten() for name in shapes]


TRUNKS: dict[NetName, Trunk] = {
    "alex": Trunk("AlexNet", "alexnet", {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}),
    "vgg": Trunk("VGG-16", "vgg16", {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}),
    "squeeze": Trunk("SqueezeNet 1.1", "squeezenet1_1", {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}),
}


class TappedDistance(nn.Module):
    """Σ_l mean_hw ‖w_l ⊙ (ŷ_l − ŷ'_l)‖² over channel-normalised features ŷ (Zhang et al. 2018, eq. 1).

    As in the authors' code the head w_l weights the squared difference, where the paper prints it inside the norm.

    Args:
        settings: what reports call the network and its weights.
        features: layers in order; frozen in place.
        taps: index of the layers after which features are compared.
        heads: one (C,) float tensor of non-negative channel weights a tap.
    """

    heads: nn.ParameterList

    def __init__(self, settings: str, features: nn.Sequential, taps: Iterable[int], heads: Sequence[Tensor]) -> None:
        super().__init__()
        self.settings = settings
        self.features = features
        self.taps = tuple(taps)
        self.heads = nn.ParameterList(heads)
        self.eval().requires_grad_(False)

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float in [-1, 1] → what the network was trained on."""
        return (images - images.new_tensor(MEAN).view(1, 3, 1, 1)) / images.new_tensor(STD).view(1, 3, 1, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each pair.

        Args:
            a: (B, 3, H, W) float in [-1, 1], RGB, at least 32 pixels a side.
            b: (B, 3, H, W) float in [-1, 1]; the order of the two does not matter.

        Returns:
            (B,) at least 0, 0 for equal pictures.

        Raises:
            InputError: batches that do not match, or pictures that are too small.
        """
        check_comparable(a, b, least=MIN_SIDE)
        distance = a.new_zeros(len(a))
        for x, head in zip(self._tapped(torch.cat([a, b])), self.heads, strict=True):
            first, second = (x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()).chunk(2)
            distance = distance + torch.einsum("bchw,c->bhw", (first - second).square(), head).mean((1, 2))
        return distance

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float in [-1, 1] → (B, C), the last compared features averaged over the picture.

        A feature extractor for set metrics where Inception's weights are out of reach.
        """
        check_images(images, least=MIN_SIDE)
        *_, last = self._tapped(images)
        return last.mean((2, 3))

    def _tapped(self, images: Tensor) -> Iterable[Tensor]:
        x = self.prepare(images)
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                yield x
            if index == self.taps[-1]:
                return


class Lpips(TappedDistance):
    """LPIPS v0.1 over torchvision's ImageNet weights: the numbers of the `lpips` package."""

    @classmethod
    def from_pretrained(cls, net: NetName = "alex") -> Lpips:
        """Download the network's ImageNet weights; the heads come with torchmetrics.

        Raises:
            InputError: another net, or weights out of reach.
        """
        trunk = _trunk(net)
        features = trunk.features(trunk.downloaded(), "torchvision's download")
        return cls(f"{trunk.title}, torchvision's weights", features, trunk.taps, trunk.heads(_published_heads(net)))

    @classmethod
    def from_files(cls, net: NetName, network_path: str | Path, head_path: str | Path | None = None) -> Lpips:
        """Read a state dict with torchvision's names and the heads' (`lin0.model.1.weight`, …), by default the published ones.

        Reports name the weight file.

        Raises:
            InputError: another net, or a file that is missing, is no state dict, or belongs to another network.
        """
        trunk = _trunk(net)
        features = trunk.features(read_tensors(network_path), network_path)
        heads = trunk.heads(_published_heads(net) if head_path is None else head_path)
        return cls(f"{trunk.title}, weights {Path(network_path).name}", features, trunk.taps, heads)


class PerceptualDistance(PerImage):
    """Mean LPIPS of drawn and artist's sketches, over an `Lpips` or a `SqueezeLpips`."""

    label = "LPIPS"
    higher_is_better = False

    def __init__(self, network: TappedDistance) -> None:
        super().__init__()
        self.network = network
        self.settings = network.settings

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        return self.network(sketches, needed(truths, "truths"))


def _trunk(net: str) -> Trunk:
    if net not in TRUNKS:
        raise InputError(f"LPIPS has no network {net}; choose one of {', '.join(TRUNKS)}.")
    return TRUNKS[net]


def _published_heads(net: NetName) -> Path:
    return Path(torchmetrics.functional.image.lpips.__file__).parent / "lpips_models" / f"{net}.pth"
