"""What StyleGAN2's generator and discriminator are built of, in plain PyTorch (Karras et al. 2020).

Weights are drawn from N(0, 1) and scaled where they are used (*equalised learning rate*), so every layer learns at one pace.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
BLUR = torch.outer(_TAPS, _TAPS)


def leaky(x: Tensor) -> Tensor:
    """√2 · leaky ReLU of slope 0.2, which keeps the variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """x in ± limit."""
    return x if limit is None else x.clamp(-limit, limit)


def blur(x: Tensor, padding: int, stride: int = 1, gain: float = 1.0) -> Tensor:
    """Low-pass every channel of (B, C, H, W) with the outer product of [1, 3, 3, 1] / 8, times `gain`; zeros outside."""
    channels = x.shape[1]
    kernel = (BLUR * gain).to(x).expand(channels, 1, 4, 4)
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=channels)


def upsample(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, 2H, 2W): zeros between the pixels, then the low-pass."""
    channels = x.shape[1]
    kernel = (BLUR * 4).to(x).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


class Linear(nn.Module):
    """Equalised fully connected layer.

    Args:
        inputs: features in.
        outputs: features out.
        bias_init: what its bias starts at.
        lr_multiplier: its own share of the learning rate; 0.01 in the mapping network.
        activate: whether `leaky` follows.
    """

    def __init__(
        self, inputs: int, outputs: int, bias_init: float = 0.0, lr_multiplier: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return leaky(x) if self.activate else x


class Conv2d(nn.Module):
    """Equalised convolution; after a low-pass and with stride 2 where `down`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        bias: bool = True,
        activate: bool = True,
        down: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.weight_gain = 1 / math.sqrt(inputs * kernel**2)
        self.activate, self.down, self.clamp = activate, down, clamp

    def forward(self, x: Tensor) -> Tensor:
        padding, weight = self.weight.shape[-1] // 2, self.weight * self.weight_gain
        if not self.down:
            x = F.conv2d(x, weight, self.bias, padding=padding)
        elif self.weight.shape[-1] == 1:
            x = F.conv2d(blur(x, 1, stride=2), weight, self.bias)
        else:
            x = F.conv2d(blur(x, 2), weight, self.bias, stride=2)
        return clamped(leaky(x) if self.activate else x, self.clamp)


class StyledConv2d(nn.Module):
    """3×3 convolution steered by w, then noise, bias and `leaky`.

    The kernel is modulated and demodulated by scaling what goes in and what comes out, which leaves one ordinary
    convolution for the whole batch:

        y_o = d_o Σ_i K_oi * (s_i x_i),   s = A(w),   d_o = (Σ_i s_i² ‖K_oi‖² + 10⁻⁸)^(−½).

    The √2 of `leaky` goes into d, noise and bias beforehand.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool, clamp: float | None) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.noise_const: Tensor
        self.up, self.clamp = up, clamp

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x (B, inputs, h, w), w (B, w_dim), noise broadcastable to (B, 1, H, W) or None → (B, outputs, H, W)."""
        style = self.affine(w)
        power = self.weight.float().square().sum((2, 3))
        demodulation = (style.float().square() @ power.T + 1e-8).rsqrt()
        # One factor of 1/√(fan-in) moved from the output to the kernel keeps sums small in half precision.
        gain = 1 / math.sqrt(self.weight[0].numel())
        x = x * style[:, :, None, None].to(x)
        if self.up:
            x = F.conv_transpose2d(x, (self.weight * gain).transpose(0, 1).to(x), stride=2)
            x = blur(x, 1, gain=4.0)
        else:
            x = F.conv2d(x, (self.weight * gain).to(x), padding=1)
        x = x * (demodulation * (math.sqrt(2) / gain))[:, :, None, None].to(x)
        if noise is not None:
            x += (noise * self.noise_strength * math.sqrt(2)).to(x)
        x += (self.bias * math.sqrt(2))[:, None, None].to(x)
        return clamped(F.leaky_relu_(x, 0.2), self.clamp)


class ToRGB(nn.Module):
    """1×1 convolution steered by w, not demodulated."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        return clamped(F.conv2d(x * style[:, :, None, None].to(x), self.weight.to(x), self.bias.to(x)), self.clamp)


class MinibatchDeviation(nn.Module):
    """Append the standard deviation over groups of the batch as one more channel.

    Args:
        group: pictures a group; the batch must be a multiple of it, or smaller than it. None is the whole batch.
    """

    def __init__(self, group: int | None = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        group = min(self.group or batch, batch)
        apart = x.reshape(group, batch // group, *x.shape[1:]).float()
        deviation = (apart.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        extra = deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, -1, height, width)
        return torch.cat([x, extra.to(x)], 1)
