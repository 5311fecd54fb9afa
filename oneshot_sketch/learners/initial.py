"""Where an instruction starts from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oneshot_sketch.attributes import describe, typical
from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.errors import InputError
from oneshot_sketch.hard_prompt import HardPromptConfig, find_hard_prompt
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.models.clip import load_clip

# Said before the measured look: with it `mini` draws strokes, of hands it never saw too (docs/benchmarks.md).
OPENING = "artist sketch line drawing"


@dataclass(frozen=True)
class Start:
    """(L, d) float32 rows, the text they encode, the first and one past the last free row, and whether that text has the measured
    look of the pairs."""

    rows: Tensor
    neutral: Tensor
    text: str
    ins: tuple[int, int]
    measured: bool

    def with_free(self, free: Tensor) -> Tensor:
        """(L, d) rows of which the free ones are `free`."""
        first, stop = self.ins
        return torch.cat([self.rows[:first], free, self.rows[stop:]])


def starting_point(
    backbone: FrozenInstructPix2Pix, photos: Tensor, sketches: Tensor, config: InstructionLearnerConfig, progress: bool = True
) -> Start:
    """The rows that learning changes.

    Args:
        photos, sketches: (N, 3, H, W) float32 in [-1, 1].
    """
    text = initial_text(backbone, photos, sketches, config, progress)
    rows, neutral = backbone.encode_text([text, ""])
    length = len(rows)
    free = backbone.content_length(text) if config.rows is None else min(config.rows, length - 1)
    if free < 1:
        raise InputError("the initial text is empty, so no row is free; give a text or a number of rows.")
    ins = (1, 1 + free)
    if config.init == "noise":
        noise = torch.randn(rows[1 : 1 + free].shape, generator=torch.Generator().manual_seed(config.seed))
        rows[1 : 1 + free] = noise.to(rows) * neutral.std()
    return Start(rows, neutral, text, ins, _measures(backbone, config))


def initial_text(
    backbone: FrozenInstructPix2Pix, photos: Tensor, sketches: Tensor, config: InstructionLearnerConfig, progress: bool = True
) -> str:
    if _measures(backbone, config):
        return f"{OPENING} {describe(typical(sketches, photos).mean(0))}"
    if config.init == "pez":
        clip = load_clip(config.pez_clip).to(backbone.device)
        return find_hard_prompt(clip, sketches[:1].to(backbone.device), HardPromptConfig(seed=config.seed), progress=progress)
    return config.text


def _measures(backbone: FrozenInstructPix2Pix, config: InstructionLearnerConfig) -> bool:
    """Whether the start is the measured look of the pairs."""
    return config.init == "describe" and backbone.knows_attributes
