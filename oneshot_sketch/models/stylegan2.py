"""StyleGAN2's generator (Karras et al. 2020), with the feature maps that StyleSketch reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.outputs import BaseOutput
from torch import Tensor, nn

from oneshot_sketch.models.stylegan2_checkpoints import filled, nvidia_generator, rosinality_generator
from oneshot_sketch.models.stylegan2_layers import Linear, StyledConv2d, ToRGB, upsample

NoiseMode = Literal["const", "random", "none"]


@dataclass
class StyleGAN2Output(BaseOutput):
    """What synthesis gives.

    Attributes:
        image: (B, img_channels, resolution, resolution), about [-1, 1], not clamped.
        features: maps after noise, bias and activation, coarse to fine: one at 4×4 and two at every further resolution,
            2·log2(resolution) − 3 in all (17 at 1024).
    """

    image: Tensor
    features: list[Tensor]


class StyleGAN2Generator(ModelMixin, ConfigMixin):
    """z → w → picture and feature maps.

    Parameters carry NVIDIA's names (`mapping.fc0.weight`, `synthesis.b4.conv1.affine.weight`, …). The networks are the
    *skip* architecture of `stylegan2-ada-pytorch` without labels. There are no custom operators.

    Args:
        resolution: side of the picture in pixels, a power of two, at least 8.
        z_dim: length of z.
        w_dim: length of w.
        mapping_layers: of the mapping network.
        channel_base: a map of side r has min(channel_base / r, channel_max) channels.
        channel_max: see there.
        img_channels: of the picture.
        conv_clamp: convolutions give at most ± this; None is any number.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 1024,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        img_channels: int = 3,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        if resolution < 8 or resolution & (resolution - 1):
            raise ValueError(f"resolution is {resolution}; give a power of two, 8 or more.")
        self.resolutions = [2**octave for octave in range(2, resolution.bit_length())]
        self.num_ws = 2 * len(self.resolutions)
        self.mapping = _Mapping(z_dim, w_dim, mapping_layers)
        self.synthesis = nn.ModuleDict()
        for side in self.resolutions:
            inputs, outputs = self.channels(side // 2), self.channels(side)
            self.synthesis[f"b{side}"] = _Block(inputs if side > 4 else None, outputs, w_dim, side, img_channels, conv_clamp)

    @classmethod
    def from_nvidia(cls, state_dict: Mapping[str, Tensor], conv_clamp: float | None = None) -> Self:
        """The generator of a state dict of `stylegan2-ada-pytorch` or of StyleGAN2 in `stylegan3`, in float32.

        Its size follows from the shapes. For a `.pkl` see `stylegan2_pickle`.

        Args:
            state_dict: of `G_ema`; copied.
            conv_clamp: not in a state dict; NVIDIA's training sets 256, which only networks in float16 come near.

        Raises:
            InputError: the state dict is of another network: one with class labels, of StyleGAN3, of another architecture,
                or not whole.
        """
        config, weights = nvidia_generator(state_dict)
        return filled(cls, config | {"conv_clamp": conv_clamp}, weights)

    @classmethod
    def from_rosinality(cls, checkpoint: Mapping[str, Any]) -> Self:
        """The generator of a checkpoint of rosinality's `stylegan2-pytorch`, or of pSp, e4e and their kin, in float32.

        Args:
            checkpoint: a state dict, or what holds one as `g_ema` or (pSp: its `decoder`) as `state_dict`; copied. Without a
                `latent_avg` beside it, `w_avg` is estimated from 10,000 draws.

        Raises:
            InputError: the state dict is of another network, or not whole.
        """
        config, weights, average_known = rosinality_generator(checkpoint)
        generator = filled(cls, config, weights)
        if not average_known:
            generator.estimate_w_avg()
        return generator

    def channels(self, side: int) -> int:
        """Channels of the maps of that side."""
        return min(self.config["channel_base"] // side, self.config["channel_max"])

    @property
    def w_avg(self) -> Tensor:
        """Mean of w over z, (w_dim,): what truncation moves towards and inversion starts from."""
        return self.mapping.w_avg

    def map(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """z (B, z_dim) from N(0, I) → ws (B, num_ws, w_dim) float32.

        Args:
            z: latents; only their direction counts.
            truncation_psi: w̄ + ψ (w − w̄); 1 leaves w as it is, 0 gives the mean picture.
            truncation_cutoff: only the first so many are truncated.
        """
        ws = self.mapping(z)[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            head = ws[:, :truncation_cutoff]
            ws = torch.cat([self.w_avg.lerp(head, truncation_psi), ws[:, head.shape[1] :]], 1)
        return ws

    def synthesize(
        self, ws: Tensor, noise_mode: NoiseMode = "const", generator: torch.Generator | None = None
    ) -> StyleGAN2Output:
        """ws (B, num_ws, w_dim) → picture and feature maps, in the dtype of the weights.

        Args:
            ws: one w for every layer, the same or not (W+).
            noise_mode: "const" draws the same every time, "random" from `generator` or torch's own, "none" adds nothing.
            generator: of the random noise.
        """
        if ws.shape[1:] != (self.num_ws, self.config["w_dim"]):
            raise ValueError(f"ws is {tuple(ws.shape)}; give (B, {self.num_ws}, {self.config['w_dim']}).")
        ws = ws.to(self.dtype)
        x, image, features, first = None, None, [], 0
        for side in self.resolutions:
            block: _Block = self.synthesis[f"b{side}"]  # type: ignore[assignment]
            x, image, maps = block(x, image, ws[:, first:], noise_mode, generator)
            features += maps
            first += len(maps)
        assert image is not None
        return StyleGAN2Output(image=image, features=features)

    def forward(
        self,
        z: Tensor,
        truncation_psi: float = 1.0,
        noise_mode: NoiseMode = "const",
        generator: torch.Generator | None = None,
    ) -> StyleGAN2Output:
        return self.synthesize(self.map(z, truncation_psi), noise_mode, generator)

    @torch.no_grad()
    def estimate_w_avg(self, draws: int = 10_000, seed: int = 0) -> Tensor:
        """Set `w_avg` to the mean over `draws` of z and return it."""
        z = torch.randn(draws, self.config["z_dim"], generator=torch.Generator().manual_seed(seed))
        self.mapping.w_avg.copy_(self.mapping(z.to(self.w_avg)).mean(0))
        return self.w_avg


class _Mapping(nn.Sequential):
    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        widths = [z_dim] + [w_dim] * layers
        super().__init__(
            OrderedDict((f"fc{i}", Linear(widths[i], widths[i + 1], lr_multiplier=0.01, activate=True)) for i in range(layers))
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.w_avg: Tensor

    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        x = z.to(self.w_avg)
        return super().forward(x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt())


class _Block(nn.Module):
    """One resolution: the constant and one convolution at 4×4, else two, the first of which doubles the side."""

    def __init__(self, inputs: int | None, outputs: int, w_dim: int, side: int, img_channels: int, clamp: float | None) -> None:
        super().__init__()
        self.side = side
        if inputs is None:
            self.const = nn.Parameter(torch.randn(outputs, side, side))
        else:
            self.conv0 = StyledConv2d(inputs, outputs, w_dim, side, True, clamp)
        self.conv1 = StyledConv2d(outputs, outputs, w_dim, side, False, clamp)
        self.torgb = ToRGB(outputs, img_channels, w_dim, clamp)

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, mode: NoiseMode, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        maps: list[Tensor] = []
        if x is None:
            y = self.const.expand(len(ws), -1, -1, -1)
            if y.device.type == "cpu":  # where convolutions of channels that lie together are quicker
                y = y.contiguous(memory_format=torch.channels_last)
        else:
            y = self.conv0(x, ws[:, 0], self._noise(self.conv0, len(ws), mode, generator))
            maps.append(y)
        y = self.conv1(y, ws[:, len(maps)], self._noise(self.conv1, len(ws), mode, generator))
        maps.append(y)
        colour = self.torgb(y, ws[:, len(maps)])
        return y, colour if image is None else upsample(image) + colour, maps

    def _noise(self, layer: StyledConv2d, batch: int, mode: NoiseMode, generator: torch.Generator | None) -> Tensor | None:
        if mode == "none":
            return None
        if mode == "const":
            return layer.noise_const
        where = generator.device if generator else layer.noise_const.device
        return torch.randn(batch, 1, self.side, self.side, generator=generator, device=where).to(layer.noise_const)
