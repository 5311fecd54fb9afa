"""Stage two of IDE (Peng et al. 2022): a generator that aggregates several layers and doubles the size, and its discriminators.

Pictures are (B, 3, H, W) in [0, 1] here, as in the published code.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from oneshot_sketch.errors import InputError

LEAST_SIDE = 13  # below it the 7×7 pooling of an attention block has nothing to pool


class MLANet(ModelMixin, ConfigMixin):
    """Coarse sketch (B, 3, H, W) in [0, 1] → fine sketch (B, 3, 2H, 2W), not clamped. 3,068,290 parameters by default.

    Args:
        in_channels: of both pictures.
        channels: n, of all features.
        num_fams: feature aggregation modules.
        reduction: n / reduction channels inside the attention.
        head_kernel: 3 in the code, 5 in the paper's figure.
    """

    @register_to_config
    def __init__(
        self, in_channels: int = 3, channels: int = 64, num_fams: int = 8, reduction: int = 4, head_kernel: int = 3
    ) -> None:
        super().__init__()
        blocks = [FeatureAggregation(channels, reduction) for _ in range(num_fams)]
        for layer in (m for block in blocks for m in block.attention.modules()):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                layer.weight.data.mul_(0.1)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.head = weight_norm(nn.Conv2d(in_channels, channels, head_kernel, padding=head_kernel // 2))
        self.body = nn.Sequential(*blocks)
        self.tail = nn.ModuleList(weight_norm(nn.Conv2d(channels, 4 * in_channels, k, padding=k // 2)) for k in (3, 5))
        self.tail_scale = nn.Parameter(torch.full((2,), 0.5))

    def forward(self, coarse: Tensor) -> Tensor:
        """
        Raises:
            InputError: a side under 13 pixels.
        """
        if min(coarse.shape[-2:]) < LEAST_SIDE:
            height, width = coarse.shape[-2:]
            raise InputError(f"the coarse sketch is {width}×{height} pixels; it must be {LEAST_SIDE} or more on a side.")
        x = self.body(self.head(coarse))
        fine = sum(scale * F.pixel_shuffle(tail(x), 2) for scale, tail in zip(self.tail_scale, self.tail, strict=True))
        return fine + F.interpolate(coarse, scale_factor=2, mode="bicubic", align_corners=False)


class FeatureAggregation(nn.Module):
    """FAM: four attention blocks in a row, whose outputs are shuffled together and reduced two by two; (B, n, H, W) → same."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.attention = nn.ModuleList(MultiAttention(channels, reduction) for _ in range(4))
        self.reduce = nn.ModuleList(weight_norm(nn.Conv2d(2 * channels, channels, 1)) for _ in range(3))
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        x0 = self.attention[0](x)
        x1 = self.attention[1](x0) + x0
        x2 = self.attention[2](x1) + x1
        x3 = self.attention[3](x2)
        gathered = x0
        for reduce, other in zip(self.reduce, (x1, x2, x3), strict=True):
            gathered = reduce(F.channel_shuffle(torch.cat([gathered, other], 1), 2))
        return self.scale[0] * gathered + self.scale[1] * x


class MultiAttention(nn.Module):
    """MAB: features times a coarse attention A1 of wide view and a fine one A2; (B, n, H, W) → same, no residual."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        few = channels // reduction
        self.value = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.05), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.squeeze = nn.Conv2d(channels, few, 1)
        self.halve = nn.Conv2d(few, few, 3, stride=2, padding=1)
        self.dilated = nn.Conv2d(few, few, 3, padding=2, dilation=2)
        self.plain = nn.Conv2d(few, few, 3, padding=1)
        self.expand = nn.Conv2d(few, channels, 1)
        self.local = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 5, padding=2, groups=channels))

    def forward(self, x: Tensor) -> Tensor:
        v = self.value(x)
        squeezed = self.squeeze(v)
        pooled = F.max_pool2d(self.halve(squeezed), 7, stride=3)
        wide = F.leaky_relu(self.dilated(pooled), 0.05) + F.leaky_relu(self.plain(pooled), 0.05)
        wide = F.interpolate(wide, size=squeezed.shape[-2:], mode="nearest") + squeezed
        a1 = torch.sigmoid(F.relu(self.expand(wide)))  # in [0.5, 1), as published
        a2 = torch.sigmoid(self.local(v))
        return a1 * v * a2


def modified_vgg(size: int = 128, channels: int = 64, in_channels: int = 3) -> nn.Sequential:
    """The published code's discriminator: (B, 3, size, size) → logits (B, 1). `size` is a multiple of 32.

    Raises:
        InputError: another size.
    """
    _check(size, 32)
    widths = [min(channels << i, 8 * channels) for i in range(5)]
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1), nn.LeakyReLU(0.2)]
    for i, width in enumerate(widths):
        if i:
            layers += _normalised(widths[i - 1], width, 3, 1)
        layers += _normalised(width, width, 4, 2)
    flat = widths[-1] * (size // 32) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1))


def srgan_discriminator(size: int = 128, channels: int = 64, in_channels: int = 3) -> nn.Sequential:
    """The paper's figure, which is SRGAN's: (B, 3, size, size) → logits (B, 1). `size` is a multiple of 16.

    The figure's last sigmoid is in the loss.

    Raises:
        InputError: another size.
    """
    _check(size, 16)
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1), nn.LeakyReLU(0.2)]
    layers += _normalised(channels, channels, 3, 2)
    for i in range(1, 4):
        layers += _normalised(channels << i - 1, channels << i, 3, 1)
        layers += _normalised(channels << i, channels << i, 3, 2)
    flat = 8 * channels * (size // 16) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 16 * channels), nn.LeakyReLU(0.2), nn.Linear(16 * channels, 1))


DISCRIMINATORS = {"modified_vgg": modified_vgg, "srgan": srgan_discriminator}


def _normalised(into: int, out: int, kernel: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, kernel, stride, 1, bias=False), nn.BatchNorm2d(out), nn.LeakyReLU(0.2)]


def _check(size: int, multiple: int) -> None:
    if size < multiple or size % multiple:
        raise InputError(f"the discriminator reads crops of {size} pixels; their side must be a multiple of {multiple}.")
