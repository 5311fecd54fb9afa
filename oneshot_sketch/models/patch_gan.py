"""The discriminator of pix2pix (Isola et al. 2017), which judges patches of 70×70 pixels."""

from __future__ import annotations

from torch import nn


def patch_gan(width: int) -> nn.Sequential:
    """(B, 4, H, W), photo and sketch → one verdict (a logit) for every 70×70 patch."""
    layers: list[nn.Module] = [nn.Conv2d(4, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, stride in enumerate((2, 2, 1)):
        layers += [nn.Conv2d(width << i, width << i + 1, 4, stride, 1), nn.BatchNorm2d(width << i + 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(width << 3, 1, 4, 1, 1))
