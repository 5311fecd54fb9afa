"""LPIPS over the Caffe release of SqueezeNet, where torchvision's weights are out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from oneshot_sketch.metrics.lpips import TRUNKS, TappedDistance
from oneshot_sketch.models.perceptual_features import CAFFE_BGR
from oneshot_sketch.weights import read_tensors

TRUNK = TRUNKS["squeeze"]


class SqueezeLpips(TappedDistance):
    """LPIPS v0.1 (Zhang et al. 2018, eq. 1) over SqueezeNet 1.1; reports say "SqueezeNet 1.1, Caffe weights".

    The network is the Caffe release, which reads BGR in [0, 255] minus a mean. The published heads were fitted to
    torchvision's weights, so the numbers do not compare with those of the `lpips` package.

    Args:
        features: `squeezenet1_1().features` with weights; frozen in place.
        heads: seven (C,) float tensors of non-negative channel weights, one a tap.
    """

    def __init__(self, features: nn.Sequential, heads: Sequence[Tensor]) -> None:
        super().__init__(f"{TRUNK.title}, Caffe weights", features, TRUNK.taps, heads)

    @classmethod
    def from_files(cls, squeezenet_path: str | Path, head_path: str | Path) -> SqueezeLpips:
        """Read a SqueezeNet 1.1 state dict with torchvision's names and the heads' (`lin0.model.1.weight`, …).

        Raises:
            InputError: a file that is missing, is no state dict, or belongs to another network.
        """
        return cls(TRUNK.features(read_tensors(squeezenet_path), squeezenet_path), TRUNK.heads(head_path))

    def prepare(self, images: Tensor) -> Tensor:
        return images.flip(1) * 127.5 + 127.5 - images.new_tensor(CAFFE_BGR[0]).view(1, 3, 1, 1)
