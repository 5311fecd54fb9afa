"""Vectors that stand for pictures, under the name reports give them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.accumulator import Accumulator, Score, needed
from oneshot_sketch.metrics.checks import check_features, check_images


class Features:
    """Any function of pictures as a feature extractor.

    Args:
        name: what reports call it, with all that its numbers depend on: "CLIP ViT-B/32, image tower".
        function: (B, 3, H, W) float in [-1, 1] → (B, d) float.
    """

    is_inception = False

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]) -> None:
        self.name, self.function = name, function

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float in [-1, 1] → (B, d) float on the CPU.

        Raises:
            InputError: unusable pictures, or a function that returns something else.
        """
        check_images(images)
        rows = self.function(images).cpu()
        check_features(rows)
        if len(rows) != len(images):
            raise InputError(
                f"the extractor {self.name} returned {len(rows)} rows for {len(images)} pictures; it must be one each."
            )
        return rows


class TwoSets(Accumulator):
    """A distance between the features of all drawn and of all artist's sketches."""

    higher_is_better = False
    proper_label: str
    other_label: str

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.label = self.proper_label if features.is_inception else self.other_label
        self.settings = features.name if features.is_inception else f"{features.name}, not Inception"
        self.features = features
        self._drawn: list[Tensor] = []
        self._true: list[Tensor] = []

    @abstractmethod
    def distance(self, drawn: Tensor, true: Tensor) -> float:
        """Of two sets of features, (N, d) and (M, d)."""

    def compute(self) -> Score:
        if not self._drawn:
            raise InputError(f"{self.label} has judged no picture yet; update it first.")
        return Score(self.name, self.distance(torch.cat(self._drawn), torch.cat(self._true)))

    def _seen(self) -> list[str]:
        return [f"{sum(map(len, self._drawn))} pictures", *super()._seen()]

    def _take(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None, identities: Sequence[str] | None) -> None:
        drawn, true = self.features(sketches), self.features(needed(truths, "truths"))
        self._drawn.append(drawn)
        self._true.append(true)
