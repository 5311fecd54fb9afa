"""Encoders that invert StyleGAN2: an aligned face → W+.

pSp (Richardson et al. 2021) and e4e (Tov et al. 2021) share one network, an IR-SE50 with a feature pyramid and a small
convolutional head for every w; e4e adds what the heads give to the first of them. Their state dicts load by name. A small
layout of the same blocks serves generators of 64 to 128 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylegan2_layers import Linear

Layout = Literal["e4e", "psp", "small"]

COARSE, MIDDLE = 3, 7  # the first w of the pyramid's middle and fine level
POOLED = 4  # side of the map that the small layout reads

_LAYOUTS = {"Encoder4Editing": "e4e", "GradualStyleEncoder": "psp"}


class InversionEncoder(ModelMixin, ConfigMixin):
    """Aligned pictures → ws, as offsets from the generator's mean w.

    Args:
        num_ws: of the generator, 18 at 1024 pixels.
        w_dim: of the generator.
        layout: "e4e": one w, to which every further layer's offset is added; "psp": a w a layer; "small": as e4e, all read
            from one 4×4 map.
        input_size: side at which pictures are looked at; others are resized.
        widths: channels of the trunk's four stages, each of which halves the side.
        units: residual blocks in each.
        hidden: units between the small layout's map and its ws; the others have none.
    """

    @register_to_config
    def __init__(
        self,
        num_ws: int = 18,
        w_dim: int = 512,
        layout: Layout = "e4e",
        input_size: int = 256,
        widths: Sequence[int] = (64, 128, 256, 512),
        units: Sequence[int] = (3, 4, 14, 3),
        hidden: int = 0,
    ) -> None:
        super().__init__()
        if layout not in ("e4e", "psp", "small"):
            raise ValueError(f"layout is {layout!r}; give e4e, psp or small.")
        if input_size < 32 or input_size & (input_size - 1):
            raise ValueError(f"input_size is {input_size}; give a power of two, 32 or more.")
        if len(widths) != 4 or len(units) != 4 or min(units) < 1:
            raise ValueError("widths and units are four numbers each, one a stage, units at least 1.")
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        before = widths[0]
        self.body = nn.Sequential()
        for width, count in zip(widths, units, strict=True):
            for index in range(count):
                self.body.append(_Unit(before, width, stride=1 if index else 2))
                before = width
        self.register_buffer("latent_avg", torch.zeros(num_ws, w_dim))
        self.latent_avg: Tensor
        if layout == "small":
            if hidden < 1:
                raise ValueError(f"hidden is {hidden}; the small layout needs at least 1.")
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(POOLED),
                nn.Flatten(),
                nn.Linear(widths[3] * POOLED**2, hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden, num_ws * w_dim),
            )
            nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.head[-1].bias)  # type: ignore[arg-type]
        else:
            # Sides of the pyramid's maps: 1/16, 1/8 and 1/4 of the picture's.
            sides = [input_size // (16 if i < COARSE else 8 if i < MIDDLE else 4) for i in range(num_ws)]
            self.styles = nn.ModuleList(_StyleHead(widths[3], w_dim, side) for side in sides)
            self.latlayer1 = nn.Conv2d(widths[2], widths[3], 1)
            self.latlayer2 = nn.Conv2d(widths[1], widths[3], 1)

    @classmethod
    def small_for(
        cls,
        generator: StyleGAN2Generator,
        widths: Sequence[int] = (32, 64, 128, 160),
        units: Sequence[int] = (2, 2, 2, 2),
        hidden: int = 256,
    ) -> InversionEncoder:
        """An untrained small one; until it is trained it gives the generator's mean w for every picture.

        With the defaults 2.8 M parameters for a generator of 64 pixels and w of 256, 3.7 M for 128 pixels and w of 512.
        """
        side = min(max(generator.config["resolution"], 32), 128)
        encoder = cls(generator.num_ws, generator.config["w_dim"], "small", side, widths, units, hidden)
        encoder.latent_avg.copy_(generator.w_avg.expand(generator.num_ws, -1))
        return encoder

    @classmethod
    def from_published(
        cls, checkpoint: Mapping[str, Any], layout: Literal["e4e", "psp"] | None = None, latent_avg: Tensor | None = None
    ) -> InversionEncoder:
        """The weights of a published pSp or e4e checkpoint for faces of 256 pixels.

        Args:
            checkpoint: what was saved, read by `torch.load(path, weights_only=True)`: `state_dict` with keys `encoder.…`,
                `latent_avg`, `opts`; or a flat mapping with any of these. The decoder's keys are passed over.
            layout: which of the two, whose keys are the same; by default what `opts` names.
            latent_avg: (512,) or (num_ws, 512), where the checkpoint holds none.

        Raises:
            InputError: the weights of something else, or a checkpoint that does not say which layout or mean it has.
        """
        options = checkpoint.get("opts")
        options = options if isinstance(options, Mapping) else {}
        layout = layout or _LAYOUTS.get(options.get("encoder_type", ""))  # type: ignore[assignment]
        if layout not in ("e4e", "psp"):
            raise InputError("the checkpoint does not say whether it is pSp's or e4e's; give layout='psp' or layout='e4e'.")
        mean = checkpoint.get("latent_avg", latent_avg)
        if options.get("start_from_latent_avg") is False:
            mean = torch.zeros(())
        if not isinstance(mean, Tensor):
            raise InputError("the checkpoint holds no latent_avg; give the generator's w_avg as latent_avg.")
        saved = checkpoint.get("state_dict", checkpoint)
        state = {
            name.removeprefix("encoder."): value
            for name, value in saved.items()
            if name.startswith(("encoder.", "input_layer.", "body.", "styles.", "latlayer"))
        }
        num_ws = len({name.split(".")[1] for name in state if name.startswith("styles.")})
        encoder = cls(num_ws, layout=layout)
        try:
            state["latent_avg"] = torch.broadcast_to(mean.float(), encoder.latent_avg.shape)
            encoder.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1].strip().rstrip(".")
            raise InputError(f"these are not the weights of a pSp or e4e encoder ({reason}); give its checkpoint.") from None
        return encoder.eval()

    def forward(self, images: Tensor) -> Tensor:
        """
        Args:
            images: (B, 3, h, w) in [-1, 1], aligned as the generator's own.

        Returns:
            ws (B, num_ws, w_dim).
        """
        side = self.config["input_size"]
        if images.shape[-2:] != (side, side):
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        x, maps = self.input_layer(images), []
        counts = self.config["units"]
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index + 1 in (sum(counts[:2]), sum(counts[:3]), sum(counts)):
                maps.append(x)
        if self.config["layout"] == "small":
            offsets = self.head(x).view(len(x), *self.latent_avg.shape)
        else:
            fine, middle, coarse = maps
            middle = _joined(coarse, self.latlayer1(middle))
            levels = (coarse, middle, _joined(middle, self.latlayer2(fine)))
            heads = enumerate(self.styles)
            offsets = torch.stack([head(levels[(i >= COARSE) + (i >= MIDDLE)]) for i, head in heads], 1)
        if self.config["layout"] != "psp":
            offsets = torch.cat([offsets[:, :1], offsets[:, :1] + offsets[:, 1:]], 1)
        return self.latent_avg + offsets


class _Unit(nn.Module):
    """Residual block of IR-SE (Deng et al. 2019): normalised first, its output weighted by squeeze and excitation."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            _SqueezeExcitation(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, max(channels // reduction, 1), 1, bias=False)
        self.fc2 = nn.Conv2d(max(channels // reduction, 1), channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class _StyleHead(nn.Module):
    """Strided convolutions from a map of that side to one pixel, then an equalised linear layer (*map2style*)."""

    def __init__(self, inputs: int, w_dim: int, side: int) -> None:
        super().__init__()
        self.convs = nn.Sequential()
        for _ in range(side.bit_length() - 1):
            self.convs.extend([nn.Conv2d(inputs, w_dim, 3, 2, 1), nn.LeakyReLU()])
            inputs = w_dim
        self.linear = Linear(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    """A level of the feature pyramid: the coarser one at twice the side, plus its own."""
    return F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=True) + fine
