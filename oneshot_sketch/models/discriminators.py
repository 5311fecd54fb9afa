"""The patch discriminator of StyleSketch: is this sketch, next to its photo, by the artist?"""

from __future__ import annotations

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, cat, nn

from oneshot_sketch.models.stylesketch_layers import ConvBlock, Norm, conv_norm


class PatchDiscriminator(ModelMixin, ConfigMixin):
    """A grey sketch and its grey photo → a map of logits, one for every patch.

    With the defaults it has the official network's 20,232,417 parameters under its names. The official one ends in a sigmoid;
    here losses and R1 act on logits.

    Args:
        halvings: how often the side is halved, 2 to 6; 6 makes 16×16 patches of 1024 pixels.
        width: channels after the first halving; the widest layer has sixteen times as many.
        norm: see `StyleSketchGenerator`.
    """

    @register_to_config
    def __init__(self, halvings: int = 6, width: int = 32, norm: Norm = "batch") -> None:
        super().__init__()
        if not 2 <= halvings <= 6:
            raise ValueError(f"halvings is {halvings}; give 2 to 6.")
        layers: list[nn.Module] = [nn.Conv2d(2, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        inputs = width
        for octave in range(1, halvings):
            outputs = width * min(2**octave, 16)
            layers += [ConvBlock(inputs, outputs, norm, stride=2), _Residual(outputs, 1 if octave <= 2 else 2, norm)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 1))

    def forward(self, sketch: Tensor, photo: Tensor) -> Tensor:
        """Both (B, 1, H, W) in [0, 1] → logits (B, 1, H / 2^halvings, W / 2^halvings), above 0 for the artist's."""
        return self.layers(cat([sketch, photo], 1))


class _Residual(nn.Module):
    def __init__(self, channels: int, depth: int, norm: Norm) -> None:
        super().__init__()
        layers = [layer for _ in range(depth) for layer in (*conv_norm(channels, channels, norm), nn.LeakyReLU(0.2))]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)
