"""How like the artist's are drawings of the pair: the judge of starts and of steps where one step draws a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.guidance import branch_weights, two_scale_guidance
from oneshot_sketch.metrics.fsim import fsim
from oneshot_sketch.metrics.tone import tone_distance

TONE_WEIGHT = 0.3  # of a grey level against FSIM


@torch.no_grad()
def likeness(
    backbone: FrozenInstructPix2Pix, rows: Tensor, neutral: Tensor, z_photo: Tensor, sketch: Tensor, seed: int
) -> Tensor:
    """FSIM less `TONE_WEIGHT` times the tone distance, of one-step drawings at the backbone's own scales.

    Squared error, which learning descends, prefers soft shading to lines that a free hand put a few pixels beside the photo's;
    likeness does not, and tells better how other photos will be drawn (docs/benchmarks.md).

    Args:
        backbone: one that `draws_in_one_step`.
        rows: (B, L, d) float32, an instruction a drawing.
        neutral: (L, d) float32, the empty prompt.
        z_photo: (B, C, h, w) float32.
        sketch: (B, 3, H, W) float32 in [-1, 1].
        seed: of the noise, the same for all drawings.

    Returns:
        (B,) float32.
    """
    scales = backbone.drawing["guidance_scale"], backbone.drawing["image_guidance_scale"]
    noise = torch.randn(z_photo.shape[1:], generator=torch.Generator().manual_seed(seed)).to(z_photo).expand_as(z_photo)
    last = torch.full((len(z_photo),), backbone.num_timesteps - 1, device=z_photo.device)

    def predict(rows: Tensor, z_p: Tensor) -> Tensor:
        return backbone.predict(noise, last, rows.expand(len(z_p), -1, -1), z_p)

    v = full = predict(rows, z_photo)
    if branch_weights(*scales) != (1, 0, 0):
        v = two_scale_guidance(full, predict(neutral, z_photo), predict(neutral, torch.zeros_like(z_photo)), *scales)
    pictures, sketch = backbone.one_step(v), sketch.to(z_photo)
    return (fsim(pictures, sketch) - TONE_WEIGHT * tone_distance(pictures, sketch)).float()
