"""How a benchmark runs any list of metrics over batches: one protocol, and what the metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.checks import check_images


@dataclass(frozen=True)
class Score:
    """One number of a report.

    Attributes:
        name: the metric with every setting the number depends on, such as "SSIM (luma, Gaussian 11×11, σ 1.5, 128 px)".
        value: the mean over pictures, or the number of the whole set.
        per_image: one number a picture, in the order they were given; None where only the set has a number.
    """

    name: str
    value: float
    per_image: tuple[float, ...] | None = None


class Metric(Protocol):
    """Judges drawn sketches batch by batch. One object judges one system; a new one starts from nothing."""

    @property
    def name(self) -> str:
        """What is reported; what the number depends on of the pictures, such as their size, joins it as they come."""
        ...

    @property
    def higher_is_better(self) -> bool: ...

    def update(
        self,
        sketches: Tensor,
        truths: Tensor | None = None,
        photos: Tensor | None = None,
        identities: Sequence[str] | None = None,
    ) -> None:
        """Take a batch in; every metric reads what it needs of it and leaves the rest.

        To judge the way back, from sketch to photo, `sketches` are the photos made, `truths` the true photos and `photos` the
        sketches they were made of.

        Args:
            sketches: (B, 3, H, W) float in [-1, 1], drawn by the system.
            truths: (B, 3, H, W) float in [-1, 1], the artist's.
            photos: (B, 3, h, w) float in [-1, 1], what both were drawn from.
            identities: B names of the people shown.

        Raises:
            InputError: something the metric needs is missing or unusable; nothing of the batch is kept.
        """
        ...

    def compute(self) -> Score:
        """The number of all batches so far.

        Raises:
            InputError: too few pictures were given.
        """
        ...


class Accumulator(ABC):
    """A `Metric` that knows how to name itself."""

    label: str
    settings: str
    higher_is_better: bool

    def __init__(self) -> None:
        self._sizes: set[tuple[int, ...]] = set()

    @property
    def name(self) -> str:
        seen = self._seen() if self._sizes else []
        return f"{self.label} ({', '.join([self.settings, *seen])})"

    @torch.no_grad()
    def update(
        self,
        sketches: Tensor,
        truths: Tensor | None = None,
        photos: Tensor | None = None,
        identities: Sequence[str] | None = None,
    ) -> None:
        check_images(sketches)
        self._take(sketches, truths, photos, identities)
        self._sizes.add(tuple(sketches.shape[-2:]))

    @abstractmethod
    def compute(self) -> Score: ...

    def _seen(self) -> list[str]:
        """What of the pictures judged so far the number depends on."""
        return [_say(self._sizes)]

    @abstractmethod
    def _take(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None, identities: Sequence[str] | None) -> None: ...


class PerImage(Accumulator):
    """The mean of a number that every picture has."""

    def __init__(self) -> None:
        super().__init__()
        self._values: list[float] = []

    @abstractmethod
    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        """(B,) float, one number a picture."""

    def compute(self) -> Score:
        if not self._values:
            raise InputError(f"{self.label} has judged no picture yet; update it first.")
        return Score(self.name, sum(self._values) / len(self._values), tuple(self._values))

    def _take(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None, identities: Sequence[str] | None) -> None:
        self._values += self.judge(sketches, truths, photos).tolist()


def needed(images: Tensor | None, what: str) -> Tensor:
    """The batch, or an InputError that says which one is missing."""
    if images is None:
        raise InputError(f"this metric needs {what}; give them to update().")
    return images


def _say(sizes: set[tuple[int, ...]]) -> str:
    if len(sizes) > 1:
        return f"{len(sizes)} sizes"
    ((height, width),) = sizes
    return f"{width} px" if height == width else f"{width}×{height} px"
