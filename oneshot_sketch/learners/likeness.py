"""How like the artist's are drawings of the pair: what learning raises, and judges by, where one step draws a picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.guidance import branch_weights, two_scale_guidance
from oneshot_sketch.images import grey
from oneshot_sketch.metrics.fsim import fsim
from oneshot_sketch.metrics.tone import grey_levels, with_levels

TONE_WEIGHT = 0.3  # of a grey level against FSIM


def compare(pictures: Tensor, sketches: Tensor, levels: Tensor | None = None) -> Tensor:
    """FSIM, tone distance and squared error of shading, all at the sketches' size.

    Shading is grey in [0, 1] averaged over squares of a sixteenth of the shorter side: dark and light where they lie, whichever
    lines make them. It is compared with that of the sketch at the tones aimed for.

    Squared error prefers soft shading to lines that a free hand put a few pixels beside the photo's; FSIM does not, and tells
    better how other photos will be drawn (docs/benchmarks.md).

    Args:
        pictures: (B, 3, H, W) float32 in [-1, 1].
        sketches: (B, 3, h, w) float32 in [-1, 1], the artist's.
        levels: (B, h·w) in [0, 1], `grey_levels` aimed for; default the sketches'.

    Returns:
        (3, B) float32, differentiable.
    """
    pictures, sketches = resized(pictures, sketches.shape[-2:]), sketches.to(pictures)
    aimed = grey(sketches) / 2 + 0.5
    if levels is None:
        levels = grey_levels(sketches)
    else:
        levels = levels.to(pictures)
        aimed = with_levels(aimed, levels)
    tone = (grey_levels(pictures) - levels).abs().mean(1)
    side = max(1, min(sketches.shape[-2:]) // 16)
    shading = F.avg_pool2d(grey(pictures) / 2 + 0.5 - aimed, side).square().mean((1, 2, 3))
    return torch.stack([fsim(pictures, sketches), tone, shading])


def likeness(structure: Tensor, tone: Tensor) -> Tensor:
    """FSIM less `TONE_WEIGHT` times the tone distance."""
    return structure - TONE_WEIGHT * tone


@torch.no_grad()
def drawn_in_one_step(backbone: FrozenInstructPix2Pix, rows: Tensor, neutral: Tensor, z_photo: Tensor, seed: int) -> Tensor:
    """One-step drawings at the backbone's own scales.

    Args:
        backbone: one that `draws_in_one_step`.
        rows: (B, L, d) float32, an instruction a drawing.
        neutral: (L, d) float32, the empty prompt.
        z_photo: (B, C, h, w) float32.
        seed: of the noise, the same for all drawings.

    Returns:
        (B, 3, H, W) float32 in [-1, 1].
    """
    scales = backbone.drawing["guidance_scale"], backbone.drawing["image_guidance_scale"]
    noise = torch.randn(z_photo.shape[1:], generator=torch.Generator().manual_seed(seed)).to(z_photo).expand_as(z_photo)
    last = torch.full((len(z_photo),), backbone.num_timesteps - 1, device=z_photo.device)

    def predict(rows: Tensor, z_p: Tensor) -> Tensor:
        return backbone.predict(noise, last, rows.expand(len(z_p), -1, -1), z_p)

    v = full = predict(rows, z_photo)
    if branch_weights(*scales) != (1, 0, 0):
        v = two_scale_guidance(full, predict(neutral, z_photo), predict(neutral, torch.zeros_like(z_photo)), *scales)
    return backbone.one_step(v)


def resized(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, 3, H, W) in [-1, 1] at another height and width, itself if it has them."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True).clamp(-1, 1)
