"""Pairs put on disk, and what is found there after learning from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def put_pair(folder: Path, seed: int, name: str = "ada") -> None:
    """A photo and its grey copy, in photo/ and sketch/."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
    for side, mode in (("photo", "RGB"), ("sketch", "L")):
        (folder / side).mkdir(parents=True, exist_ok=True)
        image.convert(mode).save(folder / side / f"{name}.png")


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run by path, but for what was told to trackers."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if "logs" not in path.parts}
