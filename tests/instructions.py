"""An instruction with a full record, and what tests of its files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from oneshot_sketch import InstructionRecord, LearnedInstruction

LENGTH, WIDTH = 77, 8
RECORD = InstructionRecord(
    backbone="tiny",
    fingerprint="0123456789abcdef",
    text="pencil — 鉛筆",
    config={"steps": 5, "train_guidance": None},
    seed=3,
    steps=5,
    best_step=4,
    losses={"reconstruction kept": 0.25},
    curve={"step": (0, 4, 5), "total": (1.5, 0.75, 0.875)},
    drawing={"num_inference_steps": 20, "guidance_scale": 7.5},
    pairs=("ada", "grace"),
    style="chalk",
    licence="CC0-1.0",
    versions={"torch": "2"},
)


def learned(rows: tuple[int, int] = (1, 9), record: InstructionRecord = RECORD, seed: int = 0) -> LearnedInstruction:
    return LearnedInstruction(*torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(seed)), rows, record)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def same(a: LearnedInstruction, b: LearnedInstruction) -> bool:
    return (
        torch.equal(a.embeddings, b.embeddings)
        and torch.equal(a.neutral, b.neutral)
        and a.rows == b.rows
        and a.record == b.record
    )


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (_explode, (str(self.crater),))


def _explode(crater: str) -> int:
    return Path(crater).write_text("boom")
