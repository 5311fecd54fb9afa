"""What judges the embedded StyleGAN2 while it learns: heads on a frozen network's features, beside a small discriminator."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.metrics.lpips import TappedDistance
from oneshot_sketch.models.stylegan2_discriminator import StyleGAN2Discriminator

# After which layers of SqueezeNet 1.1 (sides 1/2, 1/4, 1/8, 1/16): channels, and the root mean square of the features there.
TAPS = {1: (64, 27.0), 4: (128, 54.0), 7: (256, 50.0), 12: (512, 9.3)}
WIDTH = 64


class Critics(nn.Module):
    """Projected heads (Sauer et al. 2021) and a narrow StyleGAN2 discriminator.

    Features are mixed by a fixed random projection, so that no head can single out the few that tell most.
    """

    def __init__(self, squeezenet: TappedDistance, side: int) -> None:
        super().__init__()
        self.frozen = [squeezenet]  # kept out of the state
        self.mixers = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1, bias=False) for channels, _ in TAPS.values())
        for mixer, (channels, size) in zip(self.mixers, TAPS.values(), strict=True):
            nn.init.normal_(mixer.weight, std=channels**-0.5 / size)  # type: ignore[arg-type]
        self.mixers.requires_grad_(False)
        self.heads = nn.ModuleList(_head() for _ in TAPS)
        self.pixels = StyleGAN2Discriminator(side, channel_base=24 * side, channel_max=96)

    def projected(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] → a map of logits a tap."""
        net = self.frozen[0]
        x, verdicts = net.prepare(F.interpolate(images, scale_factor=2, mode="bilinear")), []
        for index, layer in enumerate(net.features):
            x = layer(x)
            if index in TAPS:
                i = len(verdicts)
                verdicts.append(self.heads[i](self.mixers[i](x)))
            if len(verdicts) == len(TAPS):
                break
        return verdicts


def _head() -> nn.Module:
    norm = nn.utils.parametrizations.spectral_norm
    return nn.Sequential(
        norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
        nn.LeakyReLU(0.2),
        norm(nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)),
        nn.LeakyReLU(0.2),
        norm(nn.Conv2d(WIDTH, 1, 1)),
    )


def perceptual(net: TappedDistance, redrawn: Tensor, photos: Tensor) -> Tensor:
    """Mean LPIPS of pictures (B, 3, H, W) that need not stay within [-1, 1], as they do not before training."""
    with torch.no_grad():
        targets = list(_normalised(net, photos))
    pairs = zip(_normalised(net, redrawn), targets, net.heads, strict=True)
    return sum((torch.einsum("bchw,c->bhw", (a - b).float().square(), head).mean() for a, b, head in pairs), torch.zeros(()))


def _normalised(net: TappedDistance, x: Tensor) -> Iterator[Tensor]:
    x = net.prepare(x)
    for index, layer in enumerate(net.features):
        x = layer(x)
        if index in net.taps:
            yield x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()


def disturbed(images: Tensor, draw: torch.Generator) -> Tensor:
    """Shift up to an eighth, a little of brightness, saturation and contrast, one erased square (Zhao et al. 2020).

    Strong changes of colour leak: critics that see them forgive a generator that is always too contrasty.
    """
    batch, _, height, width = images.shape
    brightness, saturation, contrast = torch.rand(3, batch, 1, 1, 1, generator=draw)
    images = images + (brightness - 0.5) * 0.1
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (0.85 + 0.3 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (0.9 + 0.2 * contrast)
    shift = (torch.rand(batch, 2, generator=draw) - 0.5) * 0.5
    affine = torch.eye(2, 3).repeat(batch, 1, 1)
    affine[:, :, 2] = shift
    images = F.grid_sample(images, F.affine_grid(affine, list(images.shape), align_corners=False), align_corners=False)
    top, left = (torch.rand(2, batch, 1, 1, generator=draw) * height).long() - height // 6
    rows, columns = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    inside = (rows >= top) & (rows < top + height // 3) & (columns >= left) & (columns < left + width // 3)
    return images * ~inside[:, None]
