"""A random StyleGAN2 of some kilobytes, and drawn faces, for tests of StyleSketch."""

from __future__ import annotations

import random

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from oneshot_sketch import PhotoSketchPair
from oneshot_sketch.images import to_pil
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator


def tiny_stylegan(resolution: int = 32, seed: int = 0) -> StyleGAN2Generator:
    torch.manual_seed(seed)
    return StyleGAN2Generator(
        resolution=resolution, z_dim=16, w_dim=16, mapping_layers=2, channel_base=16 * resolution, channel_max=32
    ).eval()


def drawn_face(seed: int, side: int = 32) -> Image.Image:
    """An outline, two eyes and a mouth, each time elsewhere."""
    rng, large = random.Random(seed), 4 * side
    sketch = Image.new("L", (large, large), 255)
    draw = ImageDraw.Draw(sketch)
    x, y, width, height = (rng.uniform(*span) * large for span in ((0.4, 0.6), (0.45, 0.6), (0.2, 0.32), (0.28, 0.4)))
    draw.ellipse((x - width, y - height, x + width, y + height), outline=40, width=large // 24)
    for way in (-1, 1):
        eye, at = rng.uniform(0.03, 0.07) * large, x + way * width * 0.45
        draw.ellipse((at - eye, y - height * 0.2 - eye, at + eye, y - height * 0.2 + eye), fill=30)
    draw.arc((x - width / 2, y + height * 0.1, x + width / 2, y + height * 0.6), 20, 160, fill=60, width=large // 24)
    return sketch.resize((side, side), Image.Resampling.LANCZOS)


def drawn_pairs(stylegan: StyleGAN2Generator, count: int) -> tuple[list[PhotoSketchPair], Tensor]:
    """Pairs whose photos the StyleGAN made, and their latents."""
    z = torch.randn(count, 16, generator=torch.Generator().manual_seed(1))
    ws = stylegan.map(z).detach()
    with torch.no_grad():
        photos = to_pil(stylegan.synthesize(ws).image)
    side = stylegan.config["resolution"]
    return [PhotoSketchPair(photo, drawn_face(i, side).convert("RGB"), name=f"face {i}") for i, photo in enumerate(photos)], ws
