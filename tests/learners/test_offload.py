"""Weights that accelerate keeps elsewhere until they are needed learn and draw the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from torch import Tensor

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InputError,
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.images import to_pil

CPU = torch.device("cpu")


def learned(backbone: FrozenInstructPix2Pix, oval: Tensor, checkpointing: bool = False) -> LearnedInstruction:
    pair = PhotoSketchPair(to_pil(oval)[0], to_pil(oval.flip(-1))[0].convert("L"))
    config = InstructionLearnerConfig(steps=2, draws=2, augmentations=2, grid=2, gradient_checkpointing=checkpointing)
    return InstructionLearner(backbone, config).learn(pair, progress=False)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_weights_on_disk_learn_the_same_bytes(
    mini: FrozenInstructPix2Pix, oval: Tensor, tmp_path: Path, checkpointing: bool
) -> None:
    away = FrozenInstructPix2Pix.from_pretrained("mini")
    for name in ("unet", "vae", "text_encoder"):
        disk_offload(getattr(away, name), str(tmp_path / name), CPU)
    assert away.unet.device.type == "meta"
    ours, plain = learned(away, oval, checkpointing), learned(mini, oval)
    assert torch.equal(ours.embeddings, plain.embeddings)
    assert ours.record.fingerprint == plain.record.fingerprint


def test_a_pipeline_that_was_offloaded_before_learns_the_same_bytes(mini: FrozenInstructPix2Pix, oval: Tensor) -> None:
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    offload(pipe)
    away = FrozenInstructPix2Pix.from_pipeline(pipe, "mini")
    assert (away.device, away.unet.device.type) == (CPU, "meta")
    assert torch.equal(learned(away, oval).embeddings, learned(mini, oval).embeddings)


def test_the_pipeline_knows_offloaded_weights(mini: FrozenInstructPix2Pix, oval: Tensor) -> None:
    instruction = learned(mini, oval)
    pipe: Any = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)

    def draw() -> Tensor:
        return pipe(image=oval, output_type="pt", generator=torch.Generator().manual_seed(0)).images

    pipe.load_instruction(instruction)
    drawn = draw()
    pipe.unload_instruction()
    offload(pipe)
    pipe.load_instruction(instruction)
    assert torch.equal(draw(), drawn)
    pipe.unload_instruction()

    other = OneShotSketchPipeline.from_pretrained("mini")
    for weight in other.unet.parameters():
        weight.data.neg_()
    offload(other)
    with pytest.raises(InputError, match="other weights"):
        other.load_instruction(instruction)


def offload(pipe: OneShotSketchPipeline) -> None:
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        cpu_offload(part, CPU)
