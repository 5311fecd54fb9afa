"""StyleGAN2's residual discriminator (Karras et al. 2020), for training generators of one's own."""

from __future__ import annotations

import math

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from oneshot_sketch.models.stylegan2_layers import Conv2d, Linear, MinibatchDeviation


class StyleGAN2Discriminator(ModelMixin, ConfigMixin):
    """(B, C, r, r) → logits (B, 1): above 0 for a photo. Parameters carry NVIDIA's names.

    Args: as of `StyleGAN2Generator`.
    """

    @register_to_config
    def __init__(self, resolution: int = 1024, channel_base: int = 32768, channel_max: int = 512, img_channels: int = 3) -> None:
        super().__init__()
        width = {2**octave: min(channel_base // 2**octave, channel_max) for octave in range(2, resolution.bit_length())}
        for side in sorted(width, reverse=True)[:-1]:
            self.add_module(f"b{side}", _Block(img_channels if side == resolution else None, width[side], width[side // 2]))
        self.sides = sorted(width, reverse=True)[:-1]
        self.b4 = nn.ModuleDict(
            {
                "mbstd": MinibatchDeviation(),
                "conv": Conv2d(width[4] + 1, width[4], 3),
                "fc": Linear(width[4] * 16, width[4], activate=True),
                "out": Linear(width[4], 1),
            }
        )

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for side in self.sides:
            x = self.get_submodule(f"b{side}")(x)
        x = self.b4["conv"](self.b4["mbstd"](x))
        return self.b4["out"](self.b4["fc"](x.flatten(1)))


class _Block(nn.Module):
    def __init__(self, img_channels: int | None, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fromrgb = None if img_channels is None else Conv2d(img_channels, inputs, 1)
        self.conv0 = Conv2d(inputs, inputs, 3)
        self.conv1 = Conv2d(inputs, outputs, 3, down=True)
        self.skip = Conv2d(inputs, outputs, 1, bias=False, activate=False, down=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return (self.skip(x) + self.conv1(self.conv0(x))) * math.sqrt(0.5)
