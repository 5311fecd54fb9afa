"""The Inception network that FID and KID are defined over."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.features import Features
from oneshot_sketch.weights import read_tensors


class InceptionFeatures(Features):
    """2048 pooled features of the 2015 TensorFlow Inception-v3, as torch-fidelity runs it: 8-bit, resized to 299×299.

    Args:
        path: torch-fidelity's weight file, weights-inception-2015-12-05-6726825d.pth; None downloads it.
        device: where the network runs.

    Raises:
        InputError: a file that is missing or belongs to another network, or weights out of reach.
    """

    is_inception = True

    def __init__(self, path: str | Path | None = None, device: torch.device | str = "cpu") -> None:
        super().__init__("Inception-v3 2015, 2048", self._pooled)
        self.network = _network(_download() if path is None else read_tensors(path), path or "torch-fidelity's file").to(device)
        self.device = torch.device(device)

    def _pooled(self, images: Tensor) -> Tensor:
        pixels = (images.clamp(-1, 1) * 127.5 + 127.5).round().byte()
        return self.network(pixels.to(self.device))[0]


def _torch_fidelity() -> Any:
    try:
        from torch_fidelity import feature_extractor_inceptionv3
    except ImportError:
        raise InputError("Inception needs the package torch-fidelity; run pip install 'oneshot-sketch[metrics]'.") from None
    return feature_extractor_inceptionv3


def _download() -> dict[str, Tensor]:
    url = _torch_fidelity().URL_INCEPTION_V3
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"Inception's weights cannot be downloaded ({error}); give the path of {Path(url).name}.") from error


def _network(state: dict[str, Tensor], source: str | Path) -> Any:
    network = _torch_fidelity().FeatureExtractorInceptionV3
    # torch-fidelity unpickles the file it is given; this one holds only the tensors just read.
    tensors = io.BytesIO()
    torch.save(state, tensors)
    tensors.seek(0)
    try:
        return network("inception-v3-compat", ["2048"], feature_extractor_weights_path=tensors)
    except RuntimeError as error:
        raise InputError(f"{source} does not hold torch-fidelity's Inception-v3; give that file.") from error
