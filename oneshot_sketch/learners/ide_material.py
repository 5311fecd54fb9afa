"""What stage two of IDE learns from: coarse sketches that never saw their own pair, and crops of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey, save_png, to_pil, to_tensor
from oneshot_sketch.learners.draws import generator
from oneshot_sketch.learners.ide_config import IDELearnerConfig
from oneshot_sketch.models.patch_field import PatchField
from oneshot_sketch.pair import PhotoSketchPair


@dataclass(frozen=True)
class IDEMaterial:
    """Grey in [0, 1]: coarse (N, 1, h, w) and the artist's (N, 1, 2h, 2w); a digest of the pixels."""

    coarse: Tensor
    artist: Tensor
    digest: str


def fit_field(pairs: Sequence[PhotoSketchPair], config: IDELearnerConfig) -> PatchField:
    """Stage one over all pairs, resized to one frame.

    Raises:
        InputError: no pairs, or pairs of another shape than that frame.
    """
    if not pairs:
        raise InputError("there is no pair to learn from; give at least one photo and its sketch.")
    width, height = size = config.size or pairs[0].photo.size
    for pair in pairs:
        if abs(pair.photo.width / pair.photo.height * height / width - 1) > 0.06:
            shape = f"{pair.photo.width}×{pair.photo.height}"
            raise InputError(f"pair {pair.name} ({shape}) is not of the shape {width}×{height}; crop all pairs to one frame.")
    sides = [[_resized(image, size) for image in side] for side in zip(*((p.photo, p.sketch) for p in pairs), strict=True)]
    return PatchField.fit(*sides, **config.field)


def prepare(
    pairs: Sequence[PhotoSketchPair], field: PatchField, config: IDELearnerConfig, folder: Path | None, progress: bool
) -> IDEMaterial:
    """The coarse sketch of every pair's photo with that pair left out of the pool.

    Args:
        folder: coarse sketches are kept there, and those of the same pairs and settings taken from there.

    Raises:
        InputError: fine sketches smaller than a crop.
    """
    width, height = (round(side * config.coarse_scale) for side in field.size)
    if min(width, height) * 2 < config.crop:
        raise InputError(f"fine sketches are {2 * width}×{2 * height} pixels; lower crop ({config.crop}) to fit into them.")
    settings = {name: value for name, value in field.config.items() if not name.startswith("_")}  # not diffusers' own notes
    key = _digest([field.photos, field.sketches], json.dumps(settings, sort_keys=True))
    coarse = []
    for i, pair in enumerate(tqdm(pairs, desc="coarse sketches", unit="photo", disable=not progress)):
        path = folder / f"{i:05}.png" if folder else None
        drawn = _kept(path, key)
        if drawn is None:
            photo = to_tensor(_resized(pair.photo, field.size)).to(field.photos.device)
            drawn = to_pil(field(photo, leave_out=[i]))[0]
            if path is not None:
                save_png(drawn, path, {"key": key})
        coarse.append(_resized(drawn, (width, height)))
    artist = [_resized(pair.sketch, (2 * width, 2 * height)) for pair in pairs]
    tensors = [grey(to_tensor(side)) / 2 + 0.5 for side in (coarse, artist)]
    return IDEMaterial(*tensors, digest=_digest(tensors))


def crops(material: IDEMaterial, config: IDELearnerConfig, step: int) -> tuple[Tensor, Tensor]:
    """The batch of one step, a function of (seed, step): coarse (B, 3, c/2, c/2) and the artist's (B, 3, c, c) in [0, 1]."""
    fresh = generator(config.seed, 1 + step)
    small = config.crop // 2
    height, width = material.coarse.shape[-2:]
    batch = []
    for _ in range(config.batch):
        i, top, left = (
            int(torch.randint(n, (), generator=fresh)) for n in (len(material.coarse), height - small + 1, width - small + 1)
        )
        turns = torch.rand(3, generator=fresh).tolist()
        coarse = material.coarse[i, :, top : top + small, left : left + small]
        artist = material.artist[i, :, 2 * top : 2 * (top + small), 2 * left : 2 * (left + small)]
        for axis, chance, turn in ((-1, config.flip, turns[0]), (-2, config.vertical_flip, turns[1])):
            if turn < chance:
                coarse, artist = coarse.flip(axis), artist.flip(axis)
        batch.append((coarse.mT, artist.mT) if turns[2] < config.transpose else (coarse, artist))
    coarse, artist = (torch.stack(side).expand(-1, 3, -1, -1) for side in zip(*batch, strict=True))
    return coarse, artist


def _kept(path: Path | None, key: str) -> Image.Image | None:
    if path is None or not path.is_file():
        return None
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            return image.convert("RGB") if getattr(image, "text", {}).get("key") == key else None
    except (OSError, SyntaxError, ValueError):
        return None


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _digest(tensors: Sequence[Tensor], more: str = "") -> str:
    found = hashlib.sha256(more.encode())
    for tensor in tensors:
        found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()[:16]
