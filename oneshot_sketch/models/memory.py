"""A dictionary of paired keys and values that learns by moving averages instead of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError

Assignment = Literal["separate", "paired"]
Together = Callable[[Tensor], Tensor]


def cosines(slots: Tensor, items: Tensor) -> Tensor:
    """Cosine of every slot to every item: (…, N, D) and (K, D) → (…, N, K) float32 in [-1, 1]."""
    with torch.autocast(slots.device.type, enabled=False):
        return F.normalize(slots.float(), dim=-1) @ F.normalize(items.float(), dim=-1).T


def read(slots: Tensor, keys: Tensor, values: Tensor, temperature: float) -> Tensor:
    """ŝ_i = Σ_j w_ij v_j with w_ij = softmax_j cos(p_i, k_j) / τ (Eq. 7).

    Args:
        slots: (…, N, D) float, the queries.
        keys, values: (K, D) float.
        temperature: τ; towards 0 it is the value of the best key alone.

    Returns:
        (…, N, D) float32.
    """
    with torch.autocast(slots.device.type, enabled=False):
        return (cosines(slots, keys) / temperature).softmax(-1) @ values.float()


def move_towards(items: Tensor, slots: Tensor, chosen: Tensor, decay: float, total: Together = lambda x: x) -> Tensor:
    """k_j ← α k_j + (1−α) · mean of the slots that chose j (Eq. 6, over a batch), in place; items nobody chose stay as they are.

    Args:
        items: (K, D) float32.
        slots: (N, D) float.
        chosen: (N,) int64, the item of every slot.
        decay: α.
        total: sums a tensor over the processes that learn together.

    Returns:
        (K,) float, how many slots of all processes chose each item.
    """
    sums = torch.zeros_like(items).index_add_(0, chosen, slots.to(items.dtype))
    counts = torch.bincount(chosen, minlength=len(items)).to(items.dtype)
    both = total(torch.cat([sums, counts[:, None]], 1))
    sums, counts = both[:, :-1], both[:, -1]
    mean = sums / counts.clamp(min=1)[:, None]
    items.copy_(torch.where(counts[:, None] > 0, decay * items + (1 - decay) * mean, items))
    return counts


class MemoryDictionary(nn.Module):
    """Photo features → the sketch features that belong to them (MOST-Net, Eqs. 1–8).

    Keys, values and their statistics are buffers: saved with the weights, unknown to the optimiser. Only `fill`, `update` and
    `revive` change them.

    Args:
        items: K.
        channels: D.
        decay: α of the moving average.
        temperature: τ of the read; also of the weights that the refinement loss compares.
        assignment: "separate" looks for the best value by the sketch's slot (the paper); "paired" moves value a(i) with key a(i).
    """

    keys: Tensor
    values: Tensor
    usage: Tensor
    idle: Tensor

    def __init__(
        self,
        items: int = 512,
        channels: int = 256,
        decay: float = 0.999,
        temperature: float = 0.1,
        assignment: Assignment = "separate",
    ) -> None:
        super().__init__()
        if items < 2 or not 0 <= decay <= 1 or not temperature > 0:
            raise InputError(
                f"a memory of {items} items with decay {decay} and temperature {temperature} cannot be; take at least 2 items, "
                "a decay in [0, 1] and a temperature above 0."
            )
        if assignment not in ("separate", "paired"):
            raise InputError(f"there is no assignment {assignment!r}; choose separate or paired.")
        self.decay, self.temperature, self.assignment = decay, temperature, assignment
        self.register_buffer("keys", torch.randn(items, channels))
        self.register_buffer("values", torch.randn(items, channels))
        self.register_buffer("usage", torch.full((items,), 1 / items))
        self.register_buffer("idle", torch.zeros(items, dtype=torch.long))

    def forward(self, features: Tensor) -> Tensor:
        """Photo features (B, D, h, w) → the sketch features remembered for them, (B, D, h, w) float32."""
        remembered = read(slots_of(features), self.keys, self.values, self.temperature)
        return remembered.transpose(1, 2).unflatten(2, features.shape[-2:])

    @torch.no_grad()
    def fill(self, photo: Tensor, sketch: Tensor, generator: torch.Generator, from_main: Together = lambda x: x) -> None:
        """Start from K random places of a batch, key and value from the same place.

        Args:
            photo, sketch: (B, D, h, w) float, features of both sides.
            generator: on the CPU.
            from_main: what the main process of those that learn together holds.
        """
        self._plant(torch.ones_like(self.idle, dtype=torch.bool), photo, sketch, generator, from_main)
        self.usage.fill_(1 / len(self.usage))

    @torch.no_grad()
    def update(self, photo: Tensor, sketch: Tensor, total: Together = lambda x: x) -> None:
        """Move the items chosen by the slots of a batch (Eqs. 5–6).

        Args:
            photo, sketch: (B, D, h, w) float, features of both sides.
            total: sums a tensor over the processes that learn together, so that all keep the same memory.
        """
        p, s = slots_of(photo).flatten(0, 1), slots_of(sketch).flatten(0, 1)
        by_photo = cosines(p, self.keys).argmax(-1)
        by_sketch = by_photo if self.assignment == "paired" else cosines(s, self.values).argmax(-1)
        counts = move_towards(self.keys, p, by_photo, self.decay, total)
        move_towards(self.values, s, by_sketch, self.decay, total)
        self.idle.copy_(torch.where(counts > 0, 0, self.idle + 1))
        self.usage.lerp_(counts / counts.sum(), 0.1)

    @torch.no_grad()
    def revive(
        self, after: int, photo: Tensor, sketch: Tensor, generator: torch.Generator, from_main: Together = lambda x: x
    ) -> int:
        """Start anew, as `fill` does, the items whose key no slot chose in the last `after` updates; returns how many."""
        dead = self.idle >= after
        if count := int(dead.sum()):
            self._plant(dead, photo, sketch, generator, from_main)
        return count

    @property
    def entropy(self) -> float:
        """Of the share of slots that chose each key lately, over log K: 1 is even use, 0 a single item."""
        return float(-torch.xlogy(self.usage, self.usage).sum() / math.log(len(self.usage)))

    def _plant(self, where: Tensor, photo: Tensor, sketch: Tensor, generator: torch.Generator, from_main: Together) -> None:
        p, s = slots_of(photo).flatten(0, 1), slots_of(sketch).flatten(0, 1)
        count = int(where.sum())
        order = torch.cat([torch.randperm(len(p), generator=generator) for _ in range(-(-count // len(p)))])
        place = order[:count].to(p.device)
        self.keys[where] = from_main(p[place].float())
        self.values[where] = from_main(s[place].float())
        self.idle[where] = 0


def slots_of(features: Tensor) -> Tensor:
    """(B, D, h, w) → (B, h·w, D), a slot for each place (Eqs. 2–4)."""
    return features.flatten(2).transpose(1, 2)
