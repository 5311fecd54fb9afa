"""The autoencoder of `mini`: fixed principal components of 8×8 patches in, a small convolutional decoder out."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

# ITU-R BT.601 with full-range chroma, as in JPEG.
_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    dtype=torch.float64,
)


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Linear patch encoder and residual decoder that the stock InstructPix2Pix pipeline accepts as its `vae`.

    A latent pixel holds, for one `patch_size` square, the leading principal components of its luma and the mean of
    its two chroma planes. Chroma conditions the UNet on a photo; `decode` draws in grey, so a sketch has no colour
    speckle by construction.

    Args:
        luma_channels: principal components kept, at most patch_size².
        latent_channels: luma_channels + 2.
        block_out_channels: decoder widths, one an octave, finest first; diffusers derives the scale 2^(n−1) from it.
        layers_per_block: residual blocks at 1/8 and again at 1/4 of the image size.
        scaling_factor: diffusers' latent scale; 1, since the components are already normalised.
    """

    @register_to_config
    def __init__(
        self,
        luma_channels: int = 48,
        latent_channels: int = 50,
        block_out_channels: tuple[int, ...] = (48, 48, 48, 128),
        layers_per_block: int = 2,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        if latent_channels != luma_channels + 2:
            raise ValueError(f"latent_channels is {latent_channels}, but {luma_channels} luma and 2 chroma make more.")
        patch = 2 ** (len(block_out_channels) - 1)
        coarse, fine = block_out_channels[-1], block_out_channels[-2]
        self.analysis = nn.Conv2d(3, latent_channels, patch, stride=patch)
        self.synthesis = nn.ConvTranspose2d(luma_channels, 1, patch, stride=patch)
        self.refine = nn.Sequential(
            nn.Conv2d(luma_channels, coarse, 3, padding=1),
            *(ResidualBlock(coarse) for _ in range(layers_per_block)),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(fine) for _ in range(layers_per_block)),
            nn.ReLU(),
            nn.Conv2d(fine, (patch // 2) ** 2, 3, padding=1),
            nn.PixelShuffle(patch // 2),
        )

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderTinyOutput | tuple[Tensor]:
        """(B, 3, H, W) in [-1, 1] → latents (B, latent_channels, H/8, W/8), about unit variance."""
        latents = self.analysis(x)
        return AutoencoderTinyOutput(latents=latents) if return_dict else (latents,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: object = None) -> DecoderOutput | tuple[Tensor]:
        """Latents (B, latent_channels, h, w) → (B, 3, 8h, 8w), three equal planes, about [-1, 1]."""
        luma = z[:, : self.config["luma_channels"]]
        grey = self.synthesis(luma) + self.refine(luma)
        sample = grey.expand(-1, 3, -1, -1)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        return self.decode(self.encode(sample, return_dict=False)[0], return_dict=return_dict)

    @torch.no_grad()
    def fit_components(self, images: Tensor) -> Tensor:
        """Set the linear parts from images (N, 3, H, W) in [-1, 1]; return the share of luma variance each keeps.

        Components are half-whitened (scaled by the square root of their deviation, mean variance 1), so that coarse
        tone keeps more energy than fine detail, as natural latents do; the decoder's residual branch starts at zero.
        """
        patch, kept = self.analysis.kernel_size[0], self.config["luma_channels"]
        luma = torch.einsum("c,nchw->nhw", _YCBCR[0], images.double())[:, None]
        patches = F.unfold(luma, patch, stride=patch).transpose(1, 2).reshape(-1, patch * patch)
        mean = patches.mean()
        variance, basis = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        share = variance.flip(0)[:kept] / variance.sum()
        variance, basis = variance.flip(0)[:kept], basis.flip(1)[:, :kept]
        scale = variance.sqrt().sqrt()
        scale = scale * (variance / scale**2).mean().sqrt()

        analysis = (basis / scale).T.reshape(kept, 1, patch, patch) * _YCBCR[0].view(1, 3, 1, 1)
        chroma = _YCBCR[1:, :, None, None].expand(-1, -1, patch, patch) / patch**2
        chroma_scale = torch.einsum("kc,nchw->nkhw", _YCBCR[1:], images.double()).std()
        self.analysis.weight.copy_(torch.cat([analysis, chroma / chroma_scale]))
        self.analysis.bias.copy_(torch.cat([-mean * basis.sum(0) / scale, torch.zeros(2)]))  # type: ignore[union-attr]
        self.synthesis.weight.copy_((basis * scale).T.reshape(kept, 1, patch, patch))
        self.synthesis.bias.fill_(mean)  # type: ignore[union-attr]
        last = self.refine[-2]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        return share


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
