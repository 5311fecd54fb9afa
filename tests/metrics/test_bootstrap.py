"""`bootstrap_interval` against SciPy's percentile bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import bootstrap_interval

VALUES = np.random.default_rng(1).gamma(2.0, size=40)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_equals_scipy(confidence: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oneshot_sketch.metrics.bootstrap.CHUNK", 40 * 700)  # not all draws at once
    reference = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=2000, confidence_level=confidence, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    low, high = bootstrap_interval(VALUES.tolist(), confidence=confidence, draws=2000, seed=3)
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert low < VALUES.mean() < high


def test_of_groups_equals_scipy_on_their_sums() -> None:
    sizes = np.array([1, 5, 2, 8, 4, 10, 3, 7])
    groups = np.repeat([f"p{i}" for i in range(8)], sizes)
    sums = np.array([VALUES[groups == f"p{i}"].sum() for i in range(8)])
    reference = stats.bootstrap(
        (sums, sizes),
        lambda total, count, axis: total.sum(axis) / count.sum(axis),
        paired=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    shuffled = np.random.default_rng(5).permutation(40)
    assert bootstrap_interval(VALUES[shuffled].tolist(), groups[shuffled].tolist(), draws=2000) == pytest.approx(
        (reference.low, reference.high), abs=1e-9
    )


def test_alike_pictures_of_one_person_promise_less_than_pictures_of_many() -> None:
    people = np.repeat(np.arange(10), 10)
    values = (people + np.random.default_rng(0).normal(0, 0.01, 100)).tolist()
    width = lambda interval: interval[1] - interval[0]  # noqa: E731
    assert width(bootstrap_interval(values, [str(p) for p in people])) > 2 * width(bootstrap_interval(values))


def test_the_seed_decides() -> None:
    first, again, other = (bootstrap_interval(VALUES.tolist(), seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_refuses_what_it_cannot_use() -> None:
    with pytest.raises(InputError, match="at least two values"):
        bootstrap_interval([1.0])
    with pytest.raises(InputError, match="two groups"):
        bootstrap_interval([1.0, 2.0], ["a", "a"])
    with pytest.raises(InputError, match="not 1 for 2 values"):
        bootstrap_interval([1.0, 2.0], ["a"])
    with pytest.raises(InputError, match="finite"):
        bootstrap_interval([1.0, float("nan")])
    for settings in ({"confidence": 1.0}, {"draws": 0}):
        with pytest.raises(InputError, match="confidence between 0 and 1"):
            bootstrap_interval([1.0, 2.0], **settings)
