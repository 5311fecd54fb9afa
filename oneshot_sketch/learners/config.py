"""Settings of instruction learning, and the presets worth a name."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checks import check_settings
from oneshot_sketch.losses.edit_direction import Pooling
from oneshot_sketch.losses.reconstruction import Weighting


@dataclass(frozen=True, kw_only=True)
class InstructionLearnerConfig:
    """How to learn an instruction.

    Attributes:
        steps: optimiser steps.
        learning_rate: of AdamW, reached after `warmup` steps, then a cosine down to a tenth if `schedule` is "cosine".
        weight_decay: of AdamW.
        draws: (timestep, noise) draws a step, of the squared error.
        drawings: one-step drawings a step, at the size the backbone draws best, compared with the artist's sketch. Where no
            single step draws a picture, or all weights of theirs are 0, it becomes 0.
        timesteps: "stratified" puts one draw in each of `draws` equal parts of the schedule; "uniform" is the paper's;
            "permute" visits each timestep once before any twice (VISII).
        fixed_noise: one noise per timestep, drawn once (VISII), instead of fresh noise.
        train_guidance: text and image scale of guidance inside the loss (VISII: 7.5 and 1.5); None is off.
        weighting: of the squared error; "uniform" is in the network's own output (ε or v).
        rows: how many rows after BOS are free; None frees the content tokens of the initial text, as VISII does.
        init: "text", "pez" and "noise" are what they say; "describe" starts from "artist sketch line drawing" and the look that
            this hand gives a typical portrait, in the words that `mini` was taught: a fair instruction before the first step.
            Backbones that were not taught them start from `text`.
        text: the initial prompt, where `init` is "text".
        augmentations: views of each pair (crops, flips), the first being the pair itself; encoded once.
        reconstruction_weight, edit_weight: λ_rec and λ_edit (Eq. 6).
        fsim_weight, tone_weight, shading_weight: λ_fsim, λ_tone and λ_shading, of the drawings' 1 − FSIM, tone distance and
            squared error of shading (`likeness.py`). Where the start is the look, the tones aimed at are the mean of the artist's
            and of what the start draws, which counts as one more pair; shading is compared after the artist's sketch got them.
            It (30, and FSIM 16) helps hands much lighter than that start, and costs others some of their tones.
        edit_pooling: rows averaged before the text projection.
        edit_clamp: cosine above which the edit loss is flat.
        ema_decay: of the averaged embedding that is judged and kept; 0 keeps the raw one.
        select_every: steps between judgements, a guard against learning one face by heart: the best is kept. 0 keeps the last.
        judge: "loss" is the loss on a fixed grid over the views; "likeness", where one step draws a picture, how like the
            artist's those of the views are (`likeness.py`), and elsewhere the loss.
        grid: size of that grid of (timestep, noise).
        resolution: side of the square the pair is fitted to (its shape is kept); None takes the backbone's own.
        gradient_checkpointing: less memory, one more forward pass.
        clip: CLIP for the edit direction, see `load_clip`; None takes the backbone's.
        pez_clip: CLIP for hard prompts.
        companion_rank: of a low-rank companion on the cross-attention, learned with the rows for finer texture; 0 is none.
        companion_rate: its learning rate, on the same schedule.
        distil_steps: of a second phase that writes the backbone's own guidance into the rows, which are then drawn at scales 1
            and 1, one branch a step; 0 is none.
        distil_rate: its learning rate.
        seed: of every random draw.
    """

    steps: int = 40
    learning_rate: float = 2e-2
    weight_decay: float = 0.0
    warmup: int = 10
    schedule: Literal["cosine", "constant"] = "cosine"
    draws: int = 3
    drawings: int = 2
    timesteps: Literal["stratified", "uniform", "permute"] = "stratified"
    fixed_noise: bool = False
    train_guidance: tuple[float, float] | None = None
    weighting: Weighting = "uniform"
    rows: int | None = 24
    init: Literal["describe", "text", "pez", "noise"] = "describe"
    text: str = "turn it into a pencil sketch"
    augmentations: int = 16
    reconstruction_weight: float = 4.0
    edit_weight: float = 0.1
    fsim_weight: float = 20.0
    tone_weight: float = 8.0
    shading_weight: float = 0.0
    edit_pooling: Pooling = "ins"
    edit_clamp: float | None = None
    ema_decay: float = 0.9
    select_every: int = 10
    judge: Literal["likeness", "loss"] = "likeness"
    grid: int = 8
    resolution: int | None = None
    gradient_checkpointing: bool = False
    clip: str | None = None
    pez_clip: str = "open_clip:ViT-H-14/laion2b_s32b_b79k"
    companion_rank: int = 0
    companion_rate: float = 1e-3
    distil_steps: int = 0
    distil_rate: float = 3e-2
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(
            self,
            positive=("steps", "learning_rate", "draws", "augmentations", "grid", "companion_rate", "distil_rate"),
            not_negative=(
                "weight_decay",
                "warmup",
                "reconstruction_weight",
                "edit_weight",
                "drawings",
                "fsim_weight",
                "tone_weight",
                "shading_weight",
                "select_every",
                "distil_steps",
            ),
        )
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"ema_decay is {self.ema_decay}; it must be in [0, 1).")
        if self.rows is not None and self.rows < 1:
            raise InputError(f"rows is {self.rows}; at least one row must be free.")
        if not 0 <= self.companion_rank <= 4:
            raise InputError(f"companion_rank is {self.companion_rank}; it must be 0 (none) to 4.")
        if self.resolution is not None and not 32 <= self.resolution <= 10_000:
            raise InputError(f"resolution is {self.resolution}; it must be 32 to 10,000 pixels.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> InstructionLearnerConfig:
        """A preset by name, with changes.

        default: measured on `mini` (see docs/benchmarks.md).
        many-steps: for backbones that draw in many steps, where no drawings can be compared: more draws instead. Unproven there.
        guidance-free: many-steps, then distilled, for a third of the passes a sketch (see docs/drawing.md).
        paper: 12,000 single draws at 1e-3, λ 4 and 0.1, started from a hard prompt (arXiv 2506.15312, sec. 4.1).
        visii: one pass over 1,000 timesteps with fixed noise and guidance in the loss (Nguyen et al. 2023, its code).
        """
        if name not in PRESETS:
            raise InputError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(changes) - known):
            raise InputError(f"{unknown[0]!r} is no setting of instruction learning; see InstructionLearnerConfig.")
        return replace(PRESETS[name], **changes)


_PAPER = InstructionLearnerConfig(
    steps=12_000,
    learning_rate=1e-3,
    warmup=0,
    schedule="constant",
    draws=1,
    timesteps="uniform",
    weighting="epsilon",
    rows=None,
    init="pez",
    augmentations=1,
    ema_decay=0.0,
    drawings=0,
    grid=16,
    select_every=500,
    judge="loss",
)
_MANY_STEPS = InstructionLearnerConfig(steps=75, draws=6)
PRESETS = {
    "default": InstructionLearnerConfig(),
    "many-steps": _MANY_STEPS,
    "guidance-free": replace(_MANY_STEPS, distil_steps=40),
    "paper": _PAPER,
    "visii": replace(
        _PAPER,
        steps=1000,
        weight_decay=1e-2,
        timesteps="permute",
        fixed_noise=True,
        train_guidance=(7.5, 1.5),
        edit_pooling="all",
        edit_clamp=0.5,
        select_every=100,
    ),
}
