from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearner, InstructionLearnerConfig, PhotoSketchPair
from oneshot_sketch.learners import LearningState
from oneshot_sketch.learners.draws import Draws
from oneshot_sketch.learners.shares import Shares

CONFIG = InstructionLearnerConfig(steps=6, draws=6, grid=5, augmentations=2, select_every=2, rows=5, text="ink sketch")


@dataclass
class Process:
    """As much of an accelerator as sharing looks at."""

    process_index: int
    num_processes: int


def shares(index: int, count: int, micro_batch: int | None = None) -> Shares:
    process: Any = Process(index, count)
    return Shares(process, micro_batch)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("micro_batch", [None, 1, 2, 4, 100])
def test_every_draw_is_taken_once_and_the_parts_sum_to_one(processes: int, micro_batch: int | None) -> None:
    draws = Draws(torch.arange(5), torch.arange(5) + 10, torch.arange(5.0).view(5, 1, 1, 1))
    taken = [batch for i in range(processes) for batch in shares(i, processes, micro_batch).of(draws, at_most=3)]
    assert torch.cat([batch.view for batch, _ in taken]).tolist() == [0, 1, 2, 3, 4]
    assert torch.cat([batch.t for batch, _ in taken]).tolist() == [10, 11, 12, 13, 14]
    assert torch.cat([batch.noise for batch, _ in taken]).flatten().tolist() == [0, 1, 2, 3, 4]
    assert sum(part for _, part in taken) == pytest.approx(1)
    assert all(len(batch.t) <= min(micro_batch or 3, 3) for batch, _ in taken)


@pytest.mark.parametrize("edit_weight", [0.0, 1.0])
def test_micro_batches_learn_what_the_whole_batch_does(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, edit_weight: float
) -> None:
    learner = InstructionLearner(tiny_frozen, replace(CONFIG, edit_weight=edit_weight))
    sizes = []
    predict = tiny_frozen.predict
    tiny_frozen.predict = lambda z, *rest: sizes.append(len(z)) or predict(z, *rest)  # type: ignore[method-assign]
    whole = learner.learn(pair, progress=False)
    assert max(sizes) == 6
    sizes.clear()
    parts = learner.learn(pair, progress=False, shares=Shares(micro_batch=4))
    assert max(sizes) == 4
    torch.testing.assert_close(parts.embeddings, whole.embeddings, rtol=0, atol=1e-4)
    assert parts.record.losses == pytest.approx(whole.record.losses, abs=1e-5)


def test_the_tolerance_above_notices_one_draw_left_out(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = InstructionLearner(tiny_frozen, replace(CONFIG, edit_weight=0.0))
    whole = learner.learn(pair, progress=False)
    of = Shares.of
    monkeypatch.setattr(Shares, "of", lambda self, draws, at_most: list(of(self, draws, 1))[:-1])
    assert (learner.learn(pair, progress=False).embeddings - whole.embeddings).abs().max() > 1e-3


def test_half_precision_learns_what_full_precision_does_and_resumes(
    tiny_frozen: FrozenInstructPix2Pix, tiny_backbone: Path, pair: PhotoSketchPair, tmp_path: Path
) -> None:
    half = FrozenInstructPix2Pix.from_pretrained(tiny_backbone, device="cpu", dtype=torch.float16)
    config = replace(CONFIG, edit_weight=0.0, warmup=0)  # the edit loss is in float32 and would hide a gradient lost
    start = tiny_frozen.encode_text(["ink sketch"])[0]
    full = InstructionLearner(tiny_frozen, config).learn(pair, progress=False).embeddings - start
    learner = InstructionLearner(half, config)
    whole = learner.learn(pair, progress=False)
    moved = whole.embeddings - start
    assert torch.cosine_similarity(moved[1:6].flatten(), full[1:6].flatten(), dim=0) > 0.9

    def stop(state: LearningState) -> None:
        if state.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner.learn(pair, progress=False, checkpoint=tmp_path, callback=stop)
    assert torch.equal(learner.learn(pair, progress=False, checkpoint=tmp_path).embeddings, whole.embeddings)
