"""Guidance distilled into the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InputError,
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
    PhotoSketchPair,
)

FAST = InstructionLearnerConfig(
    steps=2, draws=4, augmentations=2, grid=8, select_every=1, init="text", rows=8, edit_weight=0.0, distil_steps=20
)


def learn(
    frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, config: InstructionLearnerConfig = FAST, **arguments: object
) -> LearnedInstruction:
    return InstructionLearner(frozen, config).learn(pair, progress=False, **arguments)  # type: ignore[arg-type]


def test_one_branch_comes_nearer_to_three(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    plain, distilled = learn(tiny_frozen, pair, replace(FAST, distil_steps=0)), learn(tiny_frozen, pair)
    losses = distilled.record.losses
    assert losses["distillation kept"] < 0.99 * losses["distillation at the start"]  # random networks hardly read rows
    first, stop = distilled.rows
    assert not torch.equal(distilled.embeddings[first:stop], plain.embeddings[first:stop])
    assert torch.equal(distilled.embeddings[:first], plain.embeddings[:first])
    assert torch.equal(distilled.embeddings[stop:], plain.embeddings[stop:])


def test_the_record_asks_for_one_branch_and_the_pipeline_draws_it(
    tiny_pipe: OneShotSketchPipeline, pair: PhotoSketchPair, tmp_path: Path
) -> None:
    learn(FrozenInstructPix2Pix.from_pipeline(tiny_pipe, "tiny"), pair).save_pretrained(tmp_path)
    drawing = json.loads((tmp_path / "config.json").read_text())["record"]["drawing"]
    assert (drawing["guidance_scale"], drawing["image_guidance_scale"]) == (1.0, 1.0)
    batches: list[int] = []
    tiny_pipe.unet.conv_in.register_forward_hook(lambda module, args, output: batches.append(len(output)))
    tiny_pipe.load_instruction(tmp_path)(image=pair.photo, num_inference_steps=3)
    assert batches == [1, 1, 1]


def test_a_run_stopped_while_distilling_ends_in_the_same_bytes(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(FAST, companion_rank=1)
    whole = learn(tiny_frozen, pair, config)

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("oneshot_sketch.learners.instruction.distil", stop)
        learn(tiny_frozen, pair, config, checkpoint=tmp_path)
    resumed: LearnedInstruction = learn(tiny_frozen, pair, config, checkpoint=tmp_path)
    assert torch.equal(resumed.embeddings, whole.embeddings)
    assert resumed.record == whole.record
    assert resumed.companion is not None
    assert whole.companion is not None
    assert resumed.companion.to_bytes() == whole.companion.to_bytes()


def test_the_preset_is_that_of_many_steps_distilled() -> None:
    preset = InstructionLearnerConfig.preset("guidance-free")
    assert preset.distil_steps > 0
    assert replace(preset, distil_steps=0) == InstructionLearnerConfig.preset("many-steps")
    with pytest.raises(InputError, match="distil_steps"):
        replace(FAST, distil_steps=-1)
