"""Photo → posterior of z and offsets in W+: the encoder that trains along with the embedded StyleGAN2."""

from __future__ import annotations

from torch import Tensor, nn


class PortraitEncoder(nn.Module):
    """Residual network; (B, 3, side, side) in [-1, 1] → mean and log-variance (B, z_dim), offsets (B, num_ws, w_dim)."""

    def __init__(self, side: int, z_dim: int, num_ws: int, w_dim: int, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.z_dim, self.num_ws, self.w_dim = z_dim, num_ws, w_dim
        stages: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            before = widths[max(i - 1, 0)]
            stages += [nn.Conv2d(before, width, 4, stride=2, padding=1), _Residual(width)]
        self.body = nn.Sequential(*stages)
        flat = widths[-1] * (side // 2 ** len(widths)) ** 2
        self.posterior = nn.Linear(flat, 2 * z_dim)
        nn.init.constant_(self.posterior.bias[z_dim:], -3.0)  # little noise at first, or nothing gets through
        self.offsets = nn.Sequential(nn.Linear(flat, 384), nn.SiLU(), nn.Linear(384, num_ws * w_dim))
        nn.init.normal_(self.offsets[-1].weight, std=1e-3)
        nn.init.zeros_(self.offsets[-1].bias)

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.body(photos).flatten(1)
        mean, log_variance = self.posterior(x).chunk(2, 1)
        return mean, log_variance.clamp(-8, 4), self.offsets(x).view(-1, self.num_ws, self.w_dim)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
