"""MOST-Net (arXiv 2202.03596): encode the photo, remember the sketch features that go with it, inject them, decode."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.memory import Assignment, MemoryDictionary

STRIDE = 4


class MostNet(ModelMixin, ConfigMixin):
    """Photo encoder, sketch encoder, memory, style-injection blocks and decoder.

    Drawing uses all but the sketch encoder, which only teaches the memory.

    Args:
        width: channels at full size; features have 4·width (D). Not given in the paper.
        residual_blocks: in each encoder, at a quarter of the size.
        injections: style-injection blocks; the paper has three.
        decoder_blocks: residual blocks before the decoder goes up.
        memory_items, memory_decay, temperature, assignment: of the `MemoryDictionary`.
        skips: hand the photo's finer features to the decoder, as a U-Net does (the paper's ablation speaks of one).
        canvas: (height, width) in pixels that photos are fitted on, multiples of 4; None is any.
    """

    @register_to_config
    def __init__(
        self,
        width: int = 64,
        residual_blocks: int = 4,
        injections: int = 3,
        decoder_blocks: int = 2,
        memory_items: int = 512,
        memory_decay: float = 0.999,
        temperature: float = 0.1,
        assignment: Assignment = "separate",
        skips: bool = False,
        canvas: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or (canvas is not None and any(side < 16 or side % STRIDE for side in canvas)):
            raise InputError(
                f"width {width} and canvas {canvas} cannot be; take a width above 0 and sides that are multiples of 4."
            )
        self.photo_encoder = Encoder(3, width, residual_blocks)
        self.sketch_encoder = Encoder(1, width, residual_blocks)
        self.memory = MemoryDictionary(memory_items, STRIDE * width, memory_decay, temperature, assignment)
        self.injectors = nn.ModuleList(StyleInjection(STRIDE * width) for _ in range(injections))
        self.decoder = Decoder(width, decoder_blocks, skips)

    def forward(self, photo: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], sides multiples of 4 → the sketch (B, 1, H, W) in [-1, 1]."""
        return self.draw(*self.photo_encoder(photo))

    def draw(self, features: Tensor, finer: tuple[Tensor, ...]) -> Tensor:
        """What `photo_encoder` returned → the sketch."""
        remembered = self.memory(features)
        for inject in self.injectors:
            features = inject(features, remembered)
        return self.decoder(features, finer)


class Encoder(nn.Module):
    """(B, C, H, W) → features (B, 4·width, H/4, W/4), and those at H and H/2 on the way."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 7, padding=3, padding_mode="reflect", bias=False), nn.InstanceNorm2d(width), nn.ReLU()
        )
        self.down = nn.ModuleList([ResidualDown(width, 2 * width), ResidualDown(2 * width, 4 * width)])
        self.blocks = nn.Sequential(*(Residual(4 * width) for _ in range(blocks)))

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        finest = self.stem(image)
        finer = self.down[0](finest)
        return self.blocks(self.down[1](finer)), (finest, finer)


class Decoder(nn.Module):
    """Features (B, 4·width, h, w) → (B, 1, 4h, 4w) in [-1, 1]."""

    def __init__(self, width: int, blocks: int, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.blocks = nn.Sequential(*(Residual(4 * width) for _ in range(blocks)))
        more = 2 if skips else 1
        self.up = nn.ModuleList([ResidualUp(4 * width, 2 * width), ResidualUp(2 * more * width, width)])
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(more * width, 1, 7, padding=3, padding_mode="reflect"), nn.Tanh())

    def forward(self, features: Tensor, finer: tuple[Tensor, ...]) -> Tensor:
        x = self.blocks(features)
        for up, skipped in zip(self.up, reversed(finer), strict=True):
            x = up(x)
            if self.skips:
                x = torch.cat([x, skipped], 1)
        return self.out(x)


class StyleInjection(nn.Module):
    """x + conv(lrelu(SPADE(conv(lrelu(SPADE(x, style))), style))): the content is normalised, the style scales and shifts it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(SpatialNorm(channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        x = content
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(F.leaky_relu(norm(x, style), 0.2))
        return content + x


class SpatialNorm(nn.Module):
    """IN(x)·(1 + γ) + β, with γ and β drawn from the style at every place (SPADE, Park et al. 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.shared = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.modulate = nn.Conv2d(channels // 2, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.modulate(F.relu(self.shared(style))).chunk(2, 1)
        return self.norm(x) * (1 + scale) + shift


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = _body(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResidualDown(nn.Module):
    """To half the size."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.body, self.skip = _body(into, out, stride=2), nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(F.avg_pool2d(x, 2)) + self.body(x)


class ResidualUp(nn.Module):
    """To twice the size."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.body, self.skip = _body(into, out), nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.skip(x), scale_factor=2.0) + self.body(F.interpolate(x, scale_factor=2.0))


def _body(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, stride, padding=1, bias=False),  # the norm would take a bias away
        nn.InstanceNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.InstanceNorm2d(out),
    )
