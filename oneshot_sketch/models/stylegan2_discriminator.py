"""StyleGAN2's residual discriminator (Karras et al. 2020), for training generators of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from oneshot_sketch.models.stylegan2_checkpoints import filled, nvidia_discriminator
from oneshot_sketch.models.stylegan2_layers import Conv2d, Linear, MinibatchDeviation


class StyleGAN2Discriminator(ModelMixin, ConfigMixin):
    """(B, C, r, r) → logits (B, 1): above 0 for a photo. Parameters carry NVIDIA's names.

    Args:
        resolution, channel_base, channel_max, img_channels, conv_clamp: as of `StyleGAN2Generator`.
        mbstd_group_size: pictures over which deviation is measured; the batch must be a multiple of it, or smaller than it;
            None is the whole batch.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 1024,
        channel_base: int = 32768,
        channel_max: int = 512,
        img_channels: int = 3,
        conv_clamp: float | None = None,
        mbstd_group_size: int | None = 4,
    ) -> None:
        super().__init__()
        width = {2**octave: min(channel_base // 2**octave, channel_max) for octave in range(2, resolution.bit_length())}
        for side in sorted(width, reverse=True)[:-1]:
            self.add_module(
                f"b{side}", _Block(img_channels if side == resolution else None, width[side], width[side // 2], conv_clamp)
            )
        self.sides = sorted(width, reverse=True)[:-1]
        self.b4 = nn.ModuleDict(
            {
                "mbstd": MinibatchDeviation(mbstd_group_size),
                "conv": Conv2d(width[4] + 1, width[4], 3, clamp=conv_clamp),
                "fc": Linear(width[4] * 16, width[4], activate=True),
                "out": Linear(width[4], 1),
            }
        )

    @classmethod
    def from_nvidia(
        cls, state_dict: Mapping[str, Tensor], conv_clamp: float | None = None, mbstd_group_size: int | None = 4
    ) -> Self:
        """The discriminator of a state dict of `stylegan2-ada-pytorch` or of StyleGAN2 in `stylegan3`, in float32.

        Args:
            state_dict: of `D`; copied.
            conv_clamp: as of the class; not in a state dict.
            mbstd_group_size: as of the class; not in a state dict.

        Raises:
            InputError: the state dict is of another network.
        """
        config, weights = nvidia_discriminator(state_dict)
        return filled(cls, config | {"conv_clamp": conv_clamp, "mbstd_group_size": mbstd_group_size}, weights)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for side in self.sides:
            x = self.get_submodule(f"b{side}")(x)
        x = self.b4["conv"](self.b4["mbstd"](x))
        return self.b4["out"](self.b4["fc"](x.flatten(1)))


class _Block(nn.Module):
    def __init__(self, img_channels: int | None, inputs: int, outputs: int, clamp: float | None) -> None:
        super().__init__()
        self.fromrgb = None if img_channels is None else Conv2d(img_channels, inputs, 1, clamp=clamp)
        self.conv0 = Conv2d(inputs, inputs, 3, clamp=clamp)
        self.conv1 = Conv2d(inputs, outputs, 3, down=True, clamp=clamp)
        self.skip = Conv2d(inputs, outputs, 1, bias=False, activate=False, down=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return (self.skip(x) + self.conv1(self.conv0(x))) * math.sqrt(0.5)
