"""A small fully convolutional network that finds faces, their five points, and whether they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.outputs import BaseOutput
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 4
_LARGEST = 6.0  # log of a reach in pixels; keeps exp finite on pictures unlike any seen


@dataclass
class FaceMaps(BaseOutput):
    """What the network says about every cell, a square of 4×4 pixels.

    Attributes:
        heat: (B, 1, h, w) logit that a face's centre, the mean of its five points, is here.
        points: (B, 5, 2, h, w) where that face's points are, x and y in pixels; (0, 0) is the upper left pixel's centre.
        reach: (B, 1, h, w) its size in pixels, as `reach` measures it.
        drawn: (B, 1, h, w) logit that it is drawn, not photographed.
    """

    heat: Tensor
    points: Tensor
    reach: Tensor
    drawn: Tensor


@dataclass(frozen=True)
class Detections:
    """The N faces of one picture, surest first: points (N, 5, 2) in pixels, score and drawn (N,) in [0, 1]."""

    points: Tensor
    score: Tensor
    drawn: Tensor


class FaceFinderNetwork(ModelMixin, ConfigMixin):
    """Centres as points of a heat map (after CenterNet, Zhou et al. 2019), everything else regressed at the centres.

    Args:
        block_out_channels: widths at 1/2, 1/4, 1/8 and 1/16 of the picture.
        head_channels: widths on the way back, at 1/8 and at 1/4.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: tuple[int, int, int, int] = (24, 48, 80, 104),
        head_channels: tuple[int, int] = (64, 48),
    ) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = block_out_channels
        coarse, fine = head_channels
        self.stem = _convolution(3, half, stride=2)
        self.quarter = nn.Sequential(_convolution(half, quarter, stride=2), _Residual(quarter))
        self.eighth = nn.Sequential(_convolution(quarter, eighth, stride=2), _Residual(eighth))
        self.sixteenth = nn.Sequential(_convolution(eighth, sixteenth, stride=2), _Residual(sixteenth))
        self.up_eighth = _Merge(sixteenth, eighth, coarse)
        self.up_quarter = _Merge(coarse, quarter, fine)
        self.head = nn.Conv2d(fine, 13, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.head.bias[0], self.head.bias[1] = -4.0, 2.7  # type: ignore[index] # few faces, of about 15 pixels

    def forward(self, sample: Tensor) -> FaceMaps:
        """(B, 3, H, W) in [-1, 1], sides multiples of 16 → maps of H/4 × W/4 cells, float32."""
        quarter = self.quarter(self.stem(sample))
        eighth = self.eighth(quarter)
        merged = self.up_quarter(self.up_eighth(self.sixteenth(eighth), eighth), quarter)
        out = self.head(merged).float()
        reach = out[:, 1:2].clamp(max=_LARGEST).exp()
        offsets = out[:, 2:12].unflatten(1, (5, 2)) * reach[:, :, None]
        return FaceMaps(
            heat=out[:, :1], points=cells(*out.shape[-2:], device=out.device) + offsets, reach=reach, drawn=out[:, 12:]
        )


def cells(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """(2, h, w) float32: x and y of the cells' centres in pixels."""
    x, y = (torch.arange(n, dtype=torch.float32, device=device) * STRIDE + (STRIDE - 1) / 2 for n in (width, height))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def reach(points: Tensor) -> Tensor:
    """A face's size: the longer of eye to eye and eyes to mouth, so that a turned head counts as large as one seen frontally.

    Args:
        points: (..., 5, 2).
    """
    eyes, mouth = points[..., :2, :], points[..., 3:, :]
    across = (eyes[..., 1, :] - eyes[..., 0, :]).norm(dim=-1)
    return torch.maximum(across, (mouth.mean(-2) - eyes.mean(-2)).norm(dim=-1))


def detections(maps: FaceMaps, threshold: float, most: int = 20) -> list[Detections]:
    """The faces of every picture of a batch: peaks of the heat above `threshold`, each the only one within its face's reach.

    What a face is like is averaged over its peak and the cells around it, weighted by their heat.

    Args:
        threshold: of the heat as a probability, in (0, 1).
        most: peaks looked at in one picture.
    """
    heat = maps.heat.sigmoid()
    told = torch.cat([maps.points.flatten(1, 2), maps.drawn], dim=1)
    told = (F.avg_pool2d(told * heat, 3, 1, 1) / F.avg_pool2d(heat, 3, 1, 1)).flatten(2)
    heat = torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, 0).flatten(1)
    found = []
    for b in range(len(heat)):
        score, cell = heat[b].topk(min(most, heat.shape[1]))
        cell = cell[score > threshold]
        points = told[b, :10, cell].T.unflatten(1, (5, 2))
        centres, sizes = points.mean(1), reach(points)
        kept: list[int] = []
        for i in range(len(cell)):
            apart = (centres[kept] - centres[i]).norm(dim=-1)
            if not (apart < torch.maximum(sizes[kept], sizes[i])).any():
                kept.append(i)
        found.append(Detections(points[kept], score[kept], told[b, 10, cell[kept]].sigmoid()))
    return found


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(channels, channels), _convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Merge(nn.Module):
    """Coarse features enlarged twice and laid on fine ones."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.coarse, self.fine = nn.Conv2d(coarse, outputs, 1), nn.Conv2d(fine, outputs, 1)
        self.body = _convolution(outputs, outputs)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return self.body(F.interpolate(self.coarse(coarse), scale_factor=2.0) + self.fine(fine))
