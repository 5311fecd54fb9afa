"""One instruction over many processes, or many instructions in one run: folders, checkpoints, reports, and what failed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import gather_object
from PIL import Image

from oneshot_sketch.atomic import clear_parts
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import save_png
from oneshot_sketch.learned_instruction import WEIGHTS, LearnedInstruction
from oneshot_sketch.learners.checkpoint import NumberedStates
from oneshot_sketch.learners.instruction import InstructionLearner, LearningState
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.learners.state import as_json
from oneshot_sketch.learners.trackers import Reports
from oneshot_sketch.pair import PhotoSketchPair

CHECKPOINTS = "checkpoints"
PRECISIONS = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

Pairs = Sequence[PhotoSketchPair]
Draw = Callable[[LearnedInstruction, Pairs], Image.Image]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one style.

    Attributes:
        seconds: of reading, learning and saving; None if it was already there or failed.
        error: why it failed, in one sentence.
        is_bug: whether that was our fault, not the input's.
    """

    style: str
    folder: Path
    seconds: float | None = None
    error: str | None = None
    is_bug: bool = False


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Where instructions go and what happens on the way.

    Attributes:
        output_dir: a folder a style, named after it; of the nameless style "", the folder itself.
        checkpointing_steps, checkpoints_total_limit: see `NumberedStates`. Checkpoints lie in output_dir/checkpoint-N, those of
            a named style in output_dir/checkpoints/STYLE/checkpoint-N.
        resume: None starts, and refuses a folder that holds something already; "latest" goes on, skipping what is learned;
            for the nameless style, also the path of a checkpoint.
        micro_batch: draws in one pass through the UNet.
        preview: picture kept with an instruction.
        validation: picture made of the average so far every `validation_steps` (0 is never), for the trackers and for
            previews/step_N.png beside the checkpoints.
        reports: whom to tell.
    """

    output_dir: Path
    checkpointing_steps: int = 20
    checkpoints_total_limit: int | None = None
    resume: str | None = None
    micro_batch: int | None = None
    preview: Draw | None = None
    validation: Draw | None = None
    validation_steps: int = 0
    reports: Reports | None = None

    def states(self, style: str) -> NumberedStates:
        home = self.output_dir / CHECKPOINTS / style if style else self.output_dir
        return NumberedStates(home, self.checkpointing_steps, self.checkpoints_total_limit, self.resume)


def start_accelerator(mixed_precision: str | None = None) -> Accelerator:
    """The processes that `accelerate launch` or `torchrun` started, or this one alone.

    Args:
        mixed_precision: "no", "fp16" or "bf16"; None is what `accelerate launch` or its configuration says.

    Raises:
        InputError: another precision.
    """
    patience = InitProcessGroupKwargs(timeout=timedelta(days=7))  # those done with their styles wait for the others
    if mixed_precision is not None and mixed_precision not in PRECISIONS:
        hint = "full precision is called no; " if mixed_precision in ("fp32", "float32", "32") else ""
        raise InputError(f"there is no mixed precision {mixed_precision!r}; {hint}choose one of {', '.join(PRECISIONS)}.")
    on_cpu = not torch.accelerator.is_available()  # unless told, accelerate takes the processes of torchrun for strangers
    accelerator = Accelerator(cpu=on_cpu, mixed_precision=mixed_precision, kwargs_handlers=[patience])
    if int(os.environ.get("WORLD_SIZE", "1")) != accelerator.num_processes:
        raise InputError(f"accelerate cannot join processes on {accelerator.device.type}; start a single one.")
    if accelerator.mixed_precision not in PRECISIONS:
        raise InputError(f"mixed precision {accelerator.mixed_precision} is not supported; choose {', '.join(PRECISIONS)}.")
    return accelerator


def learn_styles(
    learner: InstructionLearner,
    styles: Mapping[str, Callable[[], Pairs]],
    launch: Launch,
    accelerator: Accelerator | None = None,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Learn an instruction a style.

    Several styles are dealt out, each learned by one process, so how many processes there are changes nothing in them; one that
    fails spoils no other. The lone nameless style "" is learned by all processes together, a step's draws shared out.

    Args:
        learner: the same in all processes.
        styles: name → how to read its pairs.
        done: called by the process that learned it, style by style.

    Returns:
        An outcome a style in the order of `styles`, the same in every process.

    Raises:
        InputError: names that cannot be folders; for the nameless style, whatever is wrong with it.
    """
    if "" in styles and len(styles) > 1:
        raise InputError("a style has no name; name all styles, or none.")
    for style in styles:
        _check_name(style)
    if list(styles) == [""]:
        outcome = _learn_style(learner, "", styles[""], launch, Shares(accelerator, launch.micro_batch), True)
        done(outcome)
        return [outcome]
    index, count = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    outcomes = []
    for style in list(styles)[index::count]:
        try:
            outcome = _learn_style(learner, style, styles[style], launch, Shares(micro_batch=launch.micro_batch), count == 1)
        except Exception as error:
            outcome = _failure(style, launch, error)
        done(outcome)
        outcomes.append(outcome)
    order = {style: i for i, style in enumerate(styles)}
    return sorted(gather_object(outcomes) if accelerator else outcomes, key=lambda outcome: order[outcome.style])


def _learn_style(
    learner: InstructionLearner, style: str, read: Callable[[], Pairs], launch: Launch, shares: Shares, progress: bool
) -> Outcome:
    start = time.monotonic()
    folder, states = launch.output_dir / style, launch.states(style)
    if launch.resume is None:
        _check_empty(folder, states)
    elif (folder / WEIGHTS).is_file() and (style or not states.found()):  # a named one's folder appears whole
        _check_same(learner, folder)
        return Outcome(style=style, folder=folder)
    pairs = read()
    trackers = None
    if launch.reports is not None and shares.is_main:
        trackers = launch.reports.open(style or launch.output_dir.resolve().name, asdict(learner.config))

    def report(state: LearningState) -> None:
        if trackers is not None:
            values = {name: getattr(state, name) for name in ("reconstruction", "edit_cosine", "fsim", "tone", "shading")}
            trackers.log({**values, "lr": state.learning_rate}, state.step)
        if launch.validation and launch.validation_steps and state.step % launch.validation_steps == 0:
            picture = launch.validation(state.instruction(), pairs)
            path = states.folder / "previews" / f"step_{state.step:06d}.png"
            clear_parts(path)
            save_png(picture, path)
            if trackers is not None:
                trackers.log_image("validation", picture, state.step)

    try:
        instruction = learner.learn(
            pairs,
            checkpoint=states,
            callback=report if shares.is_main else None,
            progress=progress and shares.is_main,
            shares=shares,
        )
    finally:
        if trackers is not None:
            trackers.close()
    if shares.is_main:
        clear_parts(folder)
        instruction.save_pretrained(folder, preview=launch.preview(instruction, pairs) if launch.preview else None)
    return Outcome(style=style, folder=folder, seconds=time.monotonic() - start)


def _check_name(style: str) -> None:
    """A style's name is its folder's."""
    if style == CHECKPOINTS or style.startswith(".") or set(style) & set("/\\\0") or len(style.encode()) > 200:
        raise InputError(f"the style {style!r} cannot be the name of a folder of its own; rename it.")


def _check_empty(folder: Path, states: NumberedStates) -> None:
    found = "an instruction" if (folder / WEIGHTS).exists() else "checkpoints of an earlier run" if states.found() else None
    if found:
        raise InputError(
            f"{folder} holds {found} already; choose another output folder, or go on with --resume_from_checkpoint latest."
        )


def _check_same(learner: InstructionLearner, folder: Path) -> None:
    record = LearnedInstruction.from_pretrained(folder).record
    other = "backbone" if record.fingerprint != learner.backbone.fingerprint else "settings"
    if other == "backbone" or record.config != as_json(asdict(learner.config)):
        raise InputError(f"{folder} holds an instruction learned with other {other}; choose another output folder or remove it.")


def _failure(style: str, launch: Launch, error: Exception) -> Outcome:
    outcome = Outcome(style=style, folder=launch.output_dir / style, error=str(error))
    if isinstance(error, InputError):
        return outcome
    logger.error("The style %s failed.", style, exc_info=error)
    return replace(outcome, error=f"{type(error).__name__}: {error}", is_bug=True)
