"""A sketch prior that draws by rule, in the shape of `SketchPrior`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from oneshot_sketch import InputError
from oneshot_sketch.images import grey, to_tensor


@dataclass(frozen=True)
class PriorSketch:
    sketch: Tensor
    trust: Tensor
    reconstruction: Tensor
    error: Tensor


class NegativePrior:
    """Draws the photo's negative, trusted in the left half or everywhere; a photo with a black corner has no face."""

    def __init__(self, trust: float = 1.0, half: bool = False, fingerprint: str = "negative") -> None:
        self.trust, self.half, self.fingerprint = trust, half, fingerprint
        self.calls: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self.gradients: list[bool] = []

    def sketch(self, photos: Image.Image | list[Image.Image], size: tuple[int, int] | None = None) -> PriorSketch:
        photos = photos if isinstance(photos, list) else [photos]
        self.calls.append(len(photos))
        self.sizes += [photo.size for photo in photos]
        self.gradients.append(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        if any(photo.getpixel((0, 0)) == (0, 0, 0) for photo in photos):
            raise InputError("there is no face in the photo; choose one that shows one face from the front.")
        size = size or photos[0].size
        seen = to_tensor([photo.resize(size, Image.Resampling.LANCZOS) for photo in photos])
        trust = torch.full_like(seen[:, :1], self.trust)
        if self.half:
            trust[..., trust.shape[-1] // 2 :] = 0
        return PriorSketch(-grey(seen), trust, seen, torch.cat([to_tensor(p).abs().mean()[None] for p in photos]))


class ByName:
    """In the place of the class `SketchPrior`: a prior for every name but "none", and the names asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def from_pretrained(self, name: str | Path, device: torch.device) -> NegativePrior:
        self.asked.append(str(name))
        if str(name) == "none":
            raise InputError("none holds no sketch prior; check the path.")
        return NegativePrior(fingerprint=str(name))

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> ByName:
        there = cls()
        monkeypatch.setitem(sys.modules, "oneshot_sketch.sketch_prior", SimpleNamespace(SketchPrior=there))
        return there
