"""What of a grey photo is compared when patches are: the filters of MrFSPS (Peng et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


def _blur(x: Tensor, sigma: float) -> Tensor:
    size = 2 * max(1, round(3 * sigma)) + 1
    return gaussian_blur(x, [size, size], [sigma, sigma])


def _centre_surround(x: Tensor) -> Tensor:
    """The pixel against its surroundings, in units of their contrast: what is left when the light is taken away."""
    around = _blur(x, 8.0)
    return (x - around) / (_blur((x - around).square(), 8.0).sqrt() + 0.05)


# Sigmas in pixels of a photo of 200×250. (N, 1, H, W) in [0, 1] → (N, 1, H, W).
REPRESENTATIONS = {
    "grey": lambda x: x,
    "gaussian": lambda x: _blur(x, 2.0),
    "dog": lambda x: _blur(x, 1.0) - _blur(x, 2.0),
    "centre_surround": _centre_surround,
}


def represent(pictures: Tensor, names: Sequence[str], scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Grey pictures (N, 1, H, W) in [0, 1] → their representations (N, R, H, W), and the factor (R,) each was given.

    Args:
        scale: those factors, as the training photos gave them; None finds them, so that every representation deviates as
            much as the grey levels do.
    """
    maps = torch.cat([REPRESENTATIONS[name](pictures) for name in names], 1)
    if scale is None:
        scale = pictures.std() / maps.std(dim=(0, 2, 3)).clamp(min=1e-6)
    return maps * scale[:, None, None], scale
