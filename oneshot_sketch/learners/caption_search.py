"""Which of the captions that `mini` was taught draws the pair most as the artist did: where learning starts there."""

from __future__ import annotations

import torch
from torch import Tensor

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.learners.likeness import likeness

SHAPES = (
    "",
    *(f"{artist} artist sketch" for artist in ("first", "second")),
    "first artist sketch with strong hair tone grain",
    "second artist sketch with faint shading detailed lines",
    "second artist sketch with strong shading grain",
    "second artist sketch dark strokes",
    *(
        f"dodge pencil sketch {width} {strength}"
        for width in ("fine", "thin", "medium", "bold")
        for strength in ("light", "dark")
    ),
    *(f"pencil line drawing {width} {strength}" for width in ("thin", "thick") for strength in ("medium", "dark")),
    *(f"ink line drawing {width} medium soft" for width in ("thin", "thick")),
    *(
        f"pencil drawing with {width} lines {tone}"
        for width in ("thin", "medium")
        for tone in ("soft hair tone", "strong hair tone", "soft shading", "strong shading grain", "strong shading hatched")
    ),
    *(f"hatched drawing {spacing} lines" for spacing in ("fine", "bold")),
    *(f"charcoal drawing {grain} grain" for grain in ("soft", "strong")),
    "stipple drawing",
)


@torch.no_grad()
def nearest_caption(backbone: FrozenInstructPix2Pix, photos: Tensor, sketches: Tensor, look: str, seed: int) -> str:
    """The caption, `look` with one of `SHAPES` before it, whose drawings of the photos have the greatest `likeness`.

    Args:
        photos, sketches: (N, 3, H, W) float32 in [-1, 1]; of more than four pairs the first four count.
        look: see `attributes.describe`.
    """
    captions = [f"{shape} {look}".strip() for shape in SHAPES]
    rows = backbone.encode_text([*captions, ""])
    scores = torch.zeros(len(captions), device=rows.device)
    for z_p, sketch in zip(backbone.encode_photo(photos[:4]), sketches[:4], strict=True):
        parts = rows[:-1].split(8)
        same = [(z_p.expand(len(part), -1, -1, -1), sketch.expand(len(part), -1, -1, -1)) for part in parts]
        scores += torch.cat([likeness(backbone, part, rows[-1], *pair, seed) for part, pair in zip(parts, same, strict=True)])
    return captions[int(scores.argmax())]
