"""What an instruction may add to its backbone's cross-attention: low-rank matrices, as a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from oneshot_sketch.errors import InputError

MAX_RANK = 64
_KEY = re.compile(r"unet\.([\w.]{1,200}\.attn2\.(?:to_q|to_k|to_v|to_out\.0))\.lora_([AB])\.weight", re.ASCII)


@dataclass(frozen=True, eq=False)
class Companion:
    """W + B A for linear layers of a UNet's cross-attention (LoRA, Hu et al. 2021, with α = r).

    Args:
        layers: A (r, in) and B (out, r), float32 and finite, by the layer's path in the UNet; r is the same for all.

    Raises:
        InputError: none, or matrices that are not as described.
    """

    layers: Mapping[str, tuple[Tensor, Tensor]]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a companion needs matrices for at least one layer; learn it again.")
        for path, (a, b) in self.layers.items():
            shaped = a.ndim == b.ndim == 2 and a.shape[0] == b.shape[1] == self.rank and 1 <= self.rank <= MAX_RANK
            if not shaped or {a.dtype, b.dtype} != {torch.float32}:
                raise InputError(
                    f"the companion of {path} is {tuple(b.shape)} times {tuple(a.shape)}, no float32 product of one rank from "
                    f"1 to {MAX_RANK}; learn it again."
                )
            if not (a.isfinite().all() and b.isfinite().all()):
                raise InputError("the companion holds NaN or infinite values; learn it again.")

    @property
    def rank(self) -> int:
        first, _ = next(iter(self.layers.values()))
        return first.shape[0] if first.ndim == 2 else 0

    def scaled(self, scale: float) -> Companion:
        """scale · B A."""
        return Companion({path: (a, b * scale) for path, (a, b) in self.layers.items()})

    def plus(self, other: Companion) -> Companion:
        """The sum of both products, whose rank is the sum of both ranks.

        Raises:
            InputError: a rank above `MAX_RANK`.
        """
        widths = {path: (a.shape[1], b.shape[0]) for each in (self, other) for path, (a, b) in each.layers.items()}
        return Companion(
            {
                path: (
                    torch.cat([each._a(path, width) for each in (self, other)]),
                    torch.cat([each._b(path, height) for each in (self, other)], 1),
                )
                for path, (width, height) in widths.items()
            }
        )

    def to_bytes(self) -> bytes:
        """A LoRA file as diffusers' `load_lora_weights` reads it."""
        pairs = {
            f"unet.{path}.lora_{side}.weight": m for path, ab in self.layers.items() for side, m in zip("AB", ab, strict=True)
        }
        return save({key: matrix.cpu().contiguous() for key, matrix in pairs.items()}, {"format": "pt"})

    @classmethod
    def from_bytes(cls, data: bytes, origin: str) -> Companion:
        """
        Args:
            origin: the file, for messages.

        Raises:
            InputError: not what `to_bytes` writes.
        """
        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise InputError(f"{origin} is damaged or no companion ({error}); save or download it again.") from None
        layers: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            found = _KEY.fullmatch(key)
            if found is None:
                raise InputError(f"{origin} holds {key[:80]!r}, which is no part of a companion; save or download it again.")
            layers.setdefault(found[1], {})[found[2]] = tensor
        if lone := [path for path, sides in layers.items() if len(sides) < 2]:
            raise InputError(f"{origin} holds only half of {lone[0]}; save or download it again.")
        try:
            return cls({path: (sides["A"], sides["B"]) for path, sides in sorted(layers.items())})
        except InputError as error:
            raise InputError(f"{origin} cannot be used: {error}") from None

    def _a(self, path: str, width: int) -> Tensor:
        return self.layers[path][0] if path in self.layers else torch.zeros(self.rank, width)

    def _b(self, path: str, height: int) -> Tensor:
        return self.layers[path][1] if path in self.layers else torch.zeros(height, self.rank)
