from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oneshot_sketch import InputError
from oneshot_sketch.learners.checkpoint import FILE, NumberedStates


def save(states: NumberedStates, *steps: int) -> None:
    for step in steps:
        states.save(({"free": torch.full((2,), float(step))}, {"step": step}))


def step_of(states: NumberedStates) -> int | None:
    loaded = states.load()
    return None if loaded is None else loaded[1]["step"]


def test_the_newest_by_number_is_the_latest_one(tmp_path: Path) -> None:
    save(NumberedStates(tmp_path), 9, 10, 100)
    assert [path.name for path in NumberedStates(tmp_path).found()] == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]
    assert step_of(NumberedStates(tmp_path, resume="latest")) == 100
    assert step_of(NumberedStates(tmp_path)) is None, "nothing is taken up unasked"


def test_one_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    save(NumberedStates(tmp_path / "run"), 2, 4)
    assert step_of(NumberedStates(tmp_path / "run", resume="checkpoint-2")) == 2
    assert step_of(NumberedStates(tmp_path / "elsewhere", resume=tmp_path / "run" / "checkpoint-4")) == 4
    with pytest.raises(InputError, match="no checkpoint checkpoint-3"):
        NumberedStates(tmp_path / "run", resume="checkpoint-3").load()


def test_no_more_are_kept_than_asked_for(tmp_path: Path) -> None:
    save(NumberedStates(tmp_path, limit=2), 2, 4, 6, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-6", "checkpoint-8"]


def test_what_a_killed_run_left_half_written_is_no_checkpoint(tmp_path: Path) -> None:
    save(NumberedStates(tmp_path), 2)
    (tmp_path / "checkpoint-4").mkdir()
    half = tmp_path / ".checkpoint-4.1234.part"
    half.mkdir()
    (half / FILE).write_bytes(b"half")
    assert step_of(NumberedStates(tmp_path, resume="latest")) == 2
    save(NumberedStates(tmp_path), 4)
    assert not half.exists()
    assert step_of(NumberedStates(tmp_path, resume="latest")) == 4


@pytest.mark.parametrize(("wrong", "named"), [({"every": 0}, "checkpointing_steps"), ({"limit": 0}, "checkpoints_total_limit")])
def test_nonsense_is_refused(tmp_path: Path, wrong: dict[str, int], named: str) -> None:
    with pytest.raises(InputError, match=named):
        NumberedStates(tmp_path, **wrong)  # type: ignore[arg-type]
