"""Learned perceptual distance over SqueezeNet, from weight files that are given, never downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.ssim import check_comparable

# Index in `squeezenet1_1().features` after which features are compared, and their channels there.
TAPS = {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}
MEAN_BGR = (103.94, 116.78, 123.68)
MIN_SIDE = 32


class SqueezeLpips(nn.Module):
    """LPIPS v0.1 (Zhang et al. 2018, eq. 1) over SqueezeNet 1.1; report it as "LPIPS (SqueezeNet, Caffe weights)".

    The network is the Caffe release, which reads BGR in [0, 255] minus a mean. The published heads were fitted to
    torchvision's weights, so the numbers do not compare with those of the `lpips` package.

    Args:
        features: `squeezenet1_1().features` with weights; frozen in place.
        heads: seven (C,) float tensors of non-negative channel weights, one a tap.
    """

    heads: nn.ParameterList
    mean: Tensor

    def __init__(self, features: nn.Sequential, heads: Sequence[Tensor]) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ParameterList(heads)
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    @classmethod
    def from_files(cls, squeezenet_path: str | Path, head_path: str | Path) -> SqueezeLpips:
        """Read a SqueezeNet 1.1 state dict with torchvision's names and the heads' (`lin0.model.1.weight`, …).

        Raises:
            InputError: a file that is missing, is no state dict, or belongs to another network.
        """
        network = squeezenet1_1(weights=None)
        try:
            network.load_state_dict(_read(squeezenet_path))
        except RuntimeError as error:
            raise InputError(
                f"{squeezenet_path} does not hold SqueezeNet 1.1 under torchvision's names; give that file."
            ) from error
        state = _read(head_path)
        shapes = {f"lin{i}.model.1.weight": (1, channels, 1, 1) for i, channels in enumerate(TAPS.values())}
        if {name: tuple(value.shape) for name, value in state.items()} != shapes:
            raise InputError(f"{head_path} does not hold the seven LPIPS v0.1 heads for SqueezeNet; give that file.")
        return cls(network.features, [state[name].flatten() for name in shapes])

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
        check_comparable(a, b)
        if min(a.shape[-2:]) < MIN_SIDE:
            raise InputError(f"LPIPS needs pictures of at least {MIN_SIDE} pixels a side, not {tuple(a.shape[-2:])}.")
        x = torch.cat([a, b]).flip(1) * 127.5 + 127.5 - self.mean
        distance = a.new_zeros(len(a))
        heads = iter(self.heads)
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                first, second = (x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()).chunk(2)
                distance = distance + torch.einsum("bchw,c->bhw", (first - second).square(), next(heads)).mean((1, 2))
        return distance


def _read(path: str | Path) -> dict[str, Tensor]:
    """A state dict in float32; nothing but tensors is unpickled."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.float() for name, value in state.items()}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path of the weights.") from None
    except (OSError, RuntimeError, UnpicklingError, EOFError, AttributeError) as error:
        raise InputError(f"{path} is not a file of tensors that PyTorch can read; download it again.") from error
