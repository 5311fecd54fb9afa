"""What StyleSketch's networks are built of: convolutions with norm, attention gates, CBAM (Woo et al. 2018).

Submodules carry the names of the official network.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "group"]


def norm_layer(channels: int, norm: Norm, momentum: float = 0.1) -> nn.Module:
    """Batch norm, or groups of sixteen channels, which see no other sample of the batch."""
    if norm == "batch":
        return nn.BatchNorm2d(channels, momentum=momentum)
    return nn.GroupNorm(max(1, channels // 16), channels)


def conv_norm(inputs: int, outputs: int, norm: Norm, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution without bias, norm."""
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), norm_layer(outputs, norm)]


class ConvBlock(nn.Module):
    """Two convolutions 3×3, each with norm and leaky ReLU; the first may halve the side."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *conv_norm(inputs, outputs, norm, stride=stride),
            nn.LeakyReLU(0.2),
            *conv_norm(outputs, outputs, norm),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Up(nn.Module):
    """Nearest ×2, convolution 3×3, norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), *conv_norm(inputs, outputs, norm), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class AttentionGate(nn.Module):
    """x · σ(norm(ψ * lrelu(norm(W_g * g) + norm(W_x * x)))): one spatial map in (0, 1) for all channels (Oktay et al. 2018)."""

    def __init__(self, channels: int, hidden: int, norm: Norm) -> None:
        super().__init__()
        self.W_g = nn.Sequential(*conv_norm(channels, hidden, norm, kernel=1))
        self.W_x = nn.Sequential(*conv_norm(channels, hidden, norm, kernel=1))
        self.psi = nn.Sequential(*conv_norm(hidden, 1, norm, kernel=1), nn.Sigmoid())
        self.relu = nn.LeakyReLU(0.2)

    def forward(self, g: Tensor, x: Tensor) -> Tensor:
        """g, x (B, C, H, W): what asks and what is let through → (B, C, H, W)."""
        return x * self.psi(self.relu(self.W_g(g) + self.W_x(x)))


class CBAM(nn.Module):
    """Channels weighed by their mean and maximum, then pixels by theirs."""

    def __init__(self, channels: int, norm: Norm, reduction: int = 16) -> None:
        super().__init__()
        self.ChannelGate = _ChannelGate(channels, max(1, channels // reduction))
        self.SpatialGate = _SpatialGate(norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * weights.sigmoid()[:, :, None, None]


class _SpatialGate(nn.Module):
    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(2, 1, 7, padding=3, bias=False), bn=norm_layer(1, norm, momentum=0.01))
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.spatial(pooled).sigmoid()
