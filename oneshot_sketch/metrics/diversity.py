"""How different are several answers to one question? LPIPS between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.accumulator import Accumulator, Score
from oneshot_sketch.metrics.lpips import TappedDistance


def lpips_diversity(images: Tensor, network: TappedDistance) -> float:
    """Mean LPIPS over all pairs of pictures.

    Args:
        images: (N, 3, H, W) float in [-1, 1], two or more.

    Raises:
        InputError: one picture only, or unusable ones.
    """
    if len(images) < 2:
        raise InputError("diversity compares two pictures or more of one subject; make more of each.")
    first, second = zip(*combinations(range(len(images)), 2), strict=True)
    return network(images[list(first)], images[list(second)]).mean().item()


class LpipsDiversity(Accumulator):
    """Mean LPIPS between pictures made of one subject; every `update` takes in all the pictures of one."""

    label = "LPIPS diversity"
    higher_is_better = True

    def __init__(self, network: TappedDistance) -> None:
        super().__init__()
        self.network, self.settings = network, network.settings
        self._values: list[float] = []
        self._counts: set[int] = set()

    def compute(self) -> Score:
        if not self._values:
            raise InputError(f"{self.label} has judged no picture yet; update it first.")
        return Score(self.name, sum(self._values) / len(self._values), tuple(self._values))

    def _seen(self) -> list[str]:
        counts = sorted({min(self._counts), max(self._counts)})
        return [f"{'–'.join(map(str, counts))} pictures of each", *super()._seen()]

    def _take(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None, identities: Sequence[str] | None) -> None:
        self._values.append(lpips_diversity(sketches, self.network))
        self._counts.add(len(sketches))
