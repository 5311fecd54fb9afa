"""What an instruction is learned from: the pairs, encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.initial import Start, starting_point
from oneshot_sketch.learners.likeness import drawn_in_one_step, resized
from oneshot_sketch.learners.views import augmented_views
from oneshot_sketch.losses import edit_direction
from oneshot_sketch.metrics.tone import grey_levels
from oneshot_sketch.models.clip import ClipTowers
from oneshot_sketch.pair import PhotoSketchPair

SHOWN = 6  # views whose drawings are looked at when an instruction is judged


@dataclass(frozen=True)
class Drawable:
    """What drawings need: photos of all views (V, C, h, w) at the size they are drawn; the sketches (V, 3, H, W) they should be
    like, at that of learning; the grey levels (V, H·W) they should have; the views (J,) int64 that are looked at when judging."""

    z_photo: Tensor
    sketches: Tensor
    levels: Tensor
    shown: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, h, w) of a photo's latents."""
        return tuple(self.z_photo.shape[1:])


@dataclass(frozen=True)
class Material:
    """Latents (V, C, h, w) of all views, what is drawn of them if anything is, the edit direction (p,), the start, and a digest
    of the pixels."""

    z_photo: Tensor
    z_sketch: Tensor
    drawable: Drawable | None
    direction: Tensor | None
    start: Start
    names: tuple[str, ...]
    digest: str
    style: str | None
    licence: str | None


def encode(
    backbone: FrozenInstructPix2Pix,
    pairs: Sequence[PhotoSketchPair],
    config: InstructionLearnerConfig,
    clip: ClipTowers | None,
    progress: bool,
) -> Material:
    """
    Args:
        clip: sees the edit direction; None where it has no weight.

    Raises:
        InputError: no pair, or pairs of different shapes.
    """
    if not pairs:
        raise InputError("there is no pair to learn from; give at least one photo and its sketch.")
    resolution = config.resolution or backbone.resolution
    tensors = [pair.tensors(resolution) for pair in pairs]
    if len({photo.shape for photo, _ in tensors}) > 1:
        raise InputError("the pairs differ in shape; crop all photos and sketches to one shape, such as a square.")
    photos, sketches = (torch.cat(side) for side in zip(*tensors, strict=True))
    views = _views(tensors, config)
    z_photo, z_sketch = backbone.encode_photo(views[0]), backbone.encode_sketch(views[1])
    start, drawable = starting_point(backbone, photos, sketches, config, progress), None
    if config.drawings or config.judge == "likeness":
        side = max(resolution, backbone.drawing_resolution)
        if side > resolution:
            tensors = [pair.tensors(side) for pair in pairs]
            views = _views(tensors, config)
        z_drawn = backbone.encode_photo(views[0]) if side > resolution else z_photo
        artists = resized(views[1], photos.shape[-2:])
        shown = torch.linspace(0, len(z_photo) - 1, min(SHOWN, len(z_photo))).long()
        drawable = Drawable(z_drawn, artists, _levels(backbone, tensors, z_drawn, artists, start, config), shown)
    direction = None
    if clip is not None:
        with torch.no_grad():
            direction = edit_direction(*(clip.encode_image(images.to(backbone.device)) for images in (photos, sketches)))
    return Material(
        z_photo,
        z_sketch,
        drawable,
        direction,
        start,
        tuple(pair.name for pair in pairs),
        hashlib.sha256(b"".join(side.numpy().tobytes() for side in (photos, sketches))).hexdigest()[:16],
        _common(pair.style for pair in pairs),
        _common(pair.licence for pair in pairs),
    )


def _views(tensors: Sequence[tuple[Tensor, Tensor]], config: InstructionLearnerConfig) -> tuple[Tensor, Tensor]:
    """Photos and sketches, (V, 3, H, W) each."""
    seen = [augmented_views(p, s, config.augmentations, config.seed + i) for i, (p, s) in enumerate(tensors)]
    return torch.cat([p for p, _ in seen]), torch.cat([s for _, s in seen])


def _levels(
    backbone: FrozenInstructPix2Pix,
    tensors: Sequence[tuple[Tensor, Tensor]],
    z_drawn: Tensor,
    sketches: Tensor,
    start: Start,
    config: InstructionLearnerConfig,
) -> Tensor:
    """(V, H·W), the grey levels that drawings of the views should have: the artist's, and for a start that was measured those of
    what it draws, which counts as one more pair. One sketch shows a hand and a sitter at once; the start has that hand's typical
    tones."""
    levels = grey_levels(sketches)
    if not (config.drawings and config.tone_weight and start.measured):
        return levels
    of_pairs = z_drawn[:: config.augmentations]
    drawn = [drawn_in_one_step(backbone, start.rows[None], start.neutral, z[None], config.seed).cpu() for z in of_pairs]
    begun, _ = _views([(picture, sketch) for picture, (_, sketch) in zip(drawn, tensors, strict=True)], config)
    return levels.lerp(grey_levels(resized(begun, sketches.shape[-2:])), 1 / (1 + len(tensors)))


def _common(values: Iterable[str | None]) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None
