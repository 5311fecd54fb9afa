"""How sure a mean over pictures is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oneshot_sketch.errors import InputError

CHUNK = 1 << 22  # drawn indices held at once


def bootstrap_interval(
    values: Sequence[float],
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean (Efron & Tibshirani 1993, sec. 13.3), the same for the same seed.

    Give the differences of two systems on the same pictures to see whether one is better: is 0 inside?

    Args:
        values: one number a picture.
        groups: whose picture each is. Then people are drawn, not pictures, and bring all of theirs: pictures of one
            person are alike, and drawing them one by one would promise too much.
        confidence: share of the draws inside, between 0 and 1.
        draws: how often as many pictures, or people, are drawn with replacement.

    Returns:
        Low and high end, in the unit of the values.

    Raises:
        InputError: fewer than two values or groups, NaN, a group missing, or settings out of range.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise InputError("a bootstrap needs a list of finite numbers, one a picture; drop the failed ones first.")
    if groups is not None and len(groups) != len(numbers):
        raise InputError(f"a bootstrap needs one group a value, not {len(groups)} for {len(numbers)} values.")
    if not 0 < confidence < 1 or draws < 1:
        raise InputError(f"a bootstrap needs a confidence between 0 and 1 and a draw or more, not {confidence} and {draws}.")
    member = np.arange(len(numbers)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, counts = np.bincount(member, numbers), np.bincount(member)
    if len(sums) < 2:
        raise InputError(f"a bootstrap needs at least two values, or two groups of them, not {len(sums)}.")
    rng = np.random.default_rng(seed)
    at_once = max(1, CHUNK // len(sums))
    means = []
    for start in range(0, draws, at_once):
        drawn = rng.integers(0, len(sums), (min(at_once, draws - start), len(sums)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
