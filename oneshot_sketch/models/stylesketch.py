"""StyleSketch's sketch generator (Yun et al. 2024, arXiv 2403.11263): a StyleGAN's feature maps → a sketch.

The paper's *deep fusion module*: from the 4×4 map upwards, every resolution's pair of maps is let through a gate that what
was drawn so far controls, and joined to it; attention over channels and pixels comes last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch_layers import CBAM, AttentionGate, ConvBlock, Norm, Up

# What the official network calls the layers at each resolution: upsampling, gate, the two 1×1 convolutions of the maps, and
# the block. The numbers in the names are widths of that network, which others need not have.
_NAMES = {
    8: ("up_512_512_0", "Att0_0", "conv1x1_256_0", "conv1x1_256_1", "conv0_0"),
    16: ("up_512_512_1", "Att0_1", "conv1x1_256_2", "conv1x1_256_3", "conv0_1"),
    32: ("up_512_256", "Att1_0", "conv1x1_128_0", "conv1x1_128_1", "conv1_0"),
    64: ("up_256_256", "Att1_1", "conv1x1_128_2", "conv1x1_128_3", "conv1_1"),
    128: ("up_256_128", "Att2_0", "conv1x1_64_0", "conv1x1_64_1", "conv2_0"),
    256: ("up_128_128", "Att2_1", "conv1x1_64_2", "conv1x1_64_3", "conv2_1"),
    512: ("up_128_64", "Att3_0", "conv1x1_32_0", "conv1x1_32_1", "conv3"),
    1024: ("up_64_64", "Att3_1", "conv1x1_32_2", "conv1x1_32_3", "conv4"),
}


class StyleSketchGenerator(ModelMixin, ConfigMixin):
    """Feature maps and picture of a `StyleGAN2Generator` → a sketch of that picture.

    With the defaults it is the official network: its 27,287,475 parameters under its names. Its level widths halve every two
    octaves from `width` at 8×8; generators of other sizes keep the lower rows, the last of which has no block.

    Args:
        resolution: of the StyleGAN, 8 to 1024.
        channel_base, channel_max: of the StyleGAN.
        width: of the levels at 8×8 and 16×16, a power of two; None takes that of the StyleGAN's 4×4 map.
        norm: "batch" is the paper's; "group" does not depend on the batch, which matters where few samples fit.
        rgb_range: the picture enters as [0, 1], or with 255 as the official weights know it: whole numbers to 255.
        stylegan: `stylegan_fingerprint` of the network it was learned on; None fits any.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 1024,
        channel_base: int = 32768,
        channel_max: int = 512,
        width: int | None = None,
        norm: Norm = "batch",
        rgb_range: Literal[1, 255] = 1,
        stylegan: str | None = None,
    ) -> None:
        super().__init__()
        if resolution not in _NAMES:
            raise ValueError(f"resolution is {resolution}; give one of {', '.join(map(str, _NAMES))}.")
        if norm not in ("batch", "group"):
            raise ValueError(f"norm is {norm!r}; give batch or group.")
        if rgb_range not in (1, 255):
            raise ValueError(f"rgb_range is {rgb_range}; give 1 or 255.")
        self.sides = [side for side in _NAMES if side <= resolution]
        channels = {side: min(channel_base // side, channel_max) for side in (4, *self.sides)}
        width = width or channels[4]
        if width & (width - 1) or width >> (len(self.sides) - 1) // 2 < 2:
            raise ValueError(f"width is {width}; give a power of two of at least {2 << (len(self.sides) - 1) // 2}.")
        inputs = channels[4]
        for octave, side in enumerate(self.sides):
            level = width >> octave // 2
            up, gate, first, second, block = _NAMES[side]
            self.add_module(up, Up(inputs, level, norm))
            self.add_module(gate, AttentionGate(level, level // 2, norm))
            last = side == resolution
            if not last or 2 * channels[side] != level:
                self.add_module(first, nn.Conv2d(channels[side], level // 2, 1))
                self.add_module(second, nn.Conv2d(channels[side], level // 2, 1))
            if not last:
                self.add_module(block, ConvBlock(2 * level, level, norm))
            inputs = level
        self.cbam = CBAM(2 * inputs + 3, norm)
        self.Conv_1x1 = nn.Conv2d(2 * inputs + 3, 1, 1)

    @classmethod
    def for_stylegan(
        cls, stylegan: StyleGAN2Generator, width: int | None = None, norm: Norm = "batch", rgb_range: Literal[1, 255] = 1
    ) -> StyleSketchGenerator:
        """A fresh one that fits a StyleGAN, and remembers which."""
        config = stylegan.config
        return cls(
            resolution=config["resolution"],
            channel_base=config["channel_base"],
            channel_max=config["channel_max"],
            width=width,
            norm=norm,
            rgb_range=rgb_range,
            stylegan=stylegan_fingerprint(stylegan),
        )

    @classmethod
    def from_official(cls, state_dict: Mapping[str, Tensor]) -> StyleSketchGenerator:
        """The published 1024-pixel network, from the tensors of its `model_state_dict`.

        Args:
            state_dict: as saved, with or without the "module." of parallel training.

        Raises:
            InputError: the state dict of something else.
        """
        network = cls(rgb_range=255)
        tensors = {name.removeprefix("module."): value for name, value in state_dict.items()}
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1].strip().rstrip(".")
            raise InputError(
                f"these are not the weights of StyleSketch's generator ({reason}); give its model_state_dict."
            ) from None
        return network.eval()

    def forward(self, features: Sequence[Tensor], image: Tensor) -> Tensor:
        """
        Args:
            features: the StyleGAN's, coarse to fine: (B, C, 4, 4), then two maps a resolution.
            image: its picture (B, 3, H, W), about [-1, 1].

        Returns:
            (B, 1, H, W) in (0, 1): 0 is ink, 1 is paper.
        """
        if len(features) != 2 * len(self.sides) + 1 or features[-1].shape[-1] != self.sides[-1]:
            raise ValueError(
                f"there are {len(features)} feature maps up to {features[-1].shape[-1]} pixels; "
                f"a generator for {self.sides[-1]} pixels reads {2 * len(self.sides) + 1}."
            )
        x = features[0].to(self.dtype)
        for octave, side in enumerate(self.sides):
            up, gate, first, second, block = (getattr(self, name, None) for name in _NAMES[side])
            pair = [map.to(self.dtype) for map in features[2 * octave + 1 : 2 * octave + 3]]
            skip = torch.cat(pair if first is None else [cast(nn.Module, first)(pair[0]), cast(nn.Module, second)(pair[1])], 1)
            x = cast(Up, up)(x)
            x = torch.cat([cast(AttentionGate, gate)(g=x, x=skip), x], 1)
            if block is not None:
                x = block(x)
        x = torch.cat([x, self._colours(image).to(self.dtype)], 1)
        return self.Conv_1x1(self.cbam(x)).sigmoid()

    def _colours(self, image: Tensor) -> Tensor:
        if self.config["rgb_range"] == 1:
            return (image + 1) / 2
        levels = (image * 127.5 + 127.5).clamp(0, 255)
        return levels + (levels.floor() - levels).detach()  # gradients pass the rounding


def stylegan_fingerprint(generator: StyleGAN2Generator) -> str:
    """Sixteen hex digits of SHA-256 over signs of weights, which no change of precision alters."""
    digest = hashlib.sha256()
    weights = dict(generator.synthesis.named_parameters())
    for name in sorted(name for name in weights if name.endswith(("const", "affine.weight"))):
        digest.update(f"{name}{tuple(weights[name].shape)}".encode())
        digest.update(torch.signbit(weights[name].detach().cpu()).numpy().tobytes())
    return digest.hexdigest()[:16]
