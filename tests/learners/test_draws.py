from __future__ import annotations

from oneshot_sketch.learners.draws import in_passes


def test_every_thing_once_before_any_twice() -> None:
    row = in_passes(3, range(35), 7)
    passes = [row[start : start + 7] for start in range(0, 35, 7)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1, "each in an order of its own"


def test_a_place_holds_the_same_whatever_is_asked_with_it() -> None:
    row = in_passes(3, range(35), 7)
    assert in_passes(3, range(5, 16), 7) == row[5:16]
    assert in_passes(4, range(35), 7) != row
