"""Learn instructions under `accelerate launch` or `torchrun`, with the flags of diffusers' training scripts.

    accelerate launch recipes/learn_instruction.py --train_data_dir pairs --output_dir ink

Learns one instruction from pairs, or one a style; see docs/guides/launch.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from oneshot_sketch.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from oneshot_sketch import InstructionLearnerConfig, OneShotSketchPipeline
    from oneshot_sketch.data.styles import Styles
    from oneshot_sketch.learners.run import Draw, Outcome

SCHEDULERS = ("cosine", "constant", "constant_with_warmup")


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help.")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    data = parser.add_argument_group("data (one of the first three)")
    data.add_argument("--train_data_dir", help="folder of pairs (photo/, sketch/), or of such folders, a style each")
    data.add_argument("--train_table", help="CSV, JSON lines or Parquet with columns photo, sketch and, if you like, style")
    data.add_argument("--dataset_name", help="data set on the Hub, a folder that datasets reads, or a Parquet file")
    data.add_argument("--dataset_config_name")
    data.add_argument("--dataset_split", default="train")
    data.add_argument("--original_image_column", default="input_image", help="column of the photos")
    data.add_argument("--edited_image_column", default="edited_image", help="column of the sketches")
    data.add_argument("--style_column", help="column of the styles: an instruction each; without it, one of all rows")
    data.add_argument("--max_train_samples", type=int, help="take only the first rows of the data set")

    model = parser.add_argument_group("backbone")
    model.add_argument("--pretrained_model_name_or_path", default="mini", help='"mini", a folder or a Hub id')
    model.add_argument("--revision")
    model.add_argument("--variant", help="such as fp16")
    model.add_argument("--cache_dir", help="where downloads are kept")
    model.add_argument("--mixed_precision", help="no, fp16 or bf16, of the frozen networks; default accelerate's")
    model.add_argument("--allow_tf32", action="store_true")

    learning = parser.add_argument_group("learning (what is left out comes from the preset)")
    learning.add_argument("--preset", default="default", help="default, many-steps, guidance-free, paper or visii")
    learning.add_argument("--max_train_steps", type=int)
    learning.add_argument("--train_batch_size", type=int, help="draws a process in one pass through the UNet")
    learning.add_argument("--gradient_accumulation_steps", type=int, default=1, help="passes a step")
    learning.add_argument("--gradient_checkpointing", action="store_true")
    learning.add_argument("--learning_rate", type=float)
    learning.add_argument("--lr_scheduler", help=", ".join(SCHEDULERS))
    learning.add_argument("--lr_warmup_steps", type=int)
    learning.add_argument("--adam_weight_decay", type=float)
    learning.add_argument("--resolution", type=int, help="side of the square a pair is fitted to")
    learning.add_argument("--seed", type=int, default=0)
    learning.add_argument("--init", help="describe, text, pez or noise")
    learning.add_argument("--text", help="text to start from")
    learning.add_argument("--rows", type=int, help="free rows of the instruction")
    learning.add_argument("--edit_weight", type=float, help="λ of the edit-direction loss; 0 is off")
    learning.add_argument("--fsim_weight", type=float, help="λ of the loss for lines, on mini; 0 is off")
    learning.add_argument("--tone_weight", type=float, help="λ of the loss for tones, on mini; 0 is off")
    learning.add_argument("--shading_weight", type=float, help="λ of the loss for shading, on mini; 0 is off")

    output = parser.add_argument_group("output")
    output.add_argument("--output_dir", type=Path, required=True, help="of the instruction, or of a folder a style")
    output.add_argument("--checkpointing_steps", type=int, default=20)
    output.add_argument("--checkpoints_total_limit", type=int)
    output.add_argument("--resume_from_checkpoint", help="latest, or a checkpoint-N folder")
    output.add_argument("--validation_image", nargs="+", help="photos to draw instead of the pair's own")
    output.add_argument("--validation_steps", type=int, default=0, help="draw them every N steps; 0 is never")
    output.add_argument("--report_to", default="", help="tensorboard, wandb, trackio (several with commas) or all")
    output.add_argument("--logging_dir", default="logs", help="in output_dir, or an absolute path")
    output.add_argument("--tracker_project_name", default="oneshot-sketch")
    output.add_argument("--push_to_hub", action="store_true")
    output.add_argument("--hub_model_id", help="default the name of output_dir; a style's name is added to it")
    output.add_argument("--hub_token")
    args = parser.parse_args(arguments)

    if sum(given is not None for given in (args.train_data_dir, args.train_table, args.dataset_name)) != 1:
        raise InputError("give the data: one of --train_data_dir, --train_table and --dataset_name.")
    if args.lr_scheduler not in (None, *SCHEDULERS):
        raise InputError(f"there is no --lr_scheduler {args.lr_scheduler!r}; choose one of {', '.join(SCHEDULERS)}.")
    for name in ("train_batch_size", "gradient_accumulation_steps", "max_train_samples"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InputError(f"--{name} is {value}; it must be at least 1.")
    if args.validation_steps < 0:
        raise InputError(f"--validation_steps is {args.validation_steps}; it must not be negative.")
    if "wandb" in args.report_to and args.hub_token:
        raise InputError("--hub_token would be recorded by wandb; leave it out and run hf auth login instead.")
    return args


def run(args: argparse.Namespace) -> int:
    """Returns the exit code."""
    import torch

    from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearner
    from oneshot_sketch.images import open_image
    from oneshot_sketch.learners.run import PRECISIONS, Launch, learn_styles, start_accelerator
    from oneshot_sketch.learners.trackers import Reports

    logging_dir = args.output_dir / args.logging_dir
    reports = Reports(tuple(filter(None, args.report_to.split(","))), logging_dir, args.tracker_project_name)
    photos = [open_image(path) for path in args.validation_image or ()]
    accelerator = start_accelerator(args.mixed_precision)
    styles = read_styles(args)
    together = list(styles) == [""]
    config, micro_batch = configure(args, accelerator.num_processes if together else 1)
    torch.backends.cuda.matmul.allow_tf32 = args.allow_tf32

    name = args.pretrained_model_name_or_path
    pipe = load(args, PRECISIONS[accelerator.mixed_precision], accelerator)
    launch = Launch(
        output_dir=args.output_dir,
        checkpointing_steps=args.checkpointing_steps,
        checkpoints_total_limit=args.checkpoints_total_limit,
        resume=args.resume_from_checkpoint,
        micro_batch=micro_batch,
        preview=drawing(pipe, ()),
        validation=drawing(pipe, photos),
        validation_steps=args.validation_steps,
        reports=reports,
    )
    learner = InstructionLearner(FrozenInstructPix2Pix.from_pipeline(pipe, name), config)
    outcomes = learn_styles(learner, styles, launch, accelerator, say if not together or accelerator.is_main_process else silent)
    accelerator.wait_for_everyone()
    unpushed = push(args, outcomes) if args.push_to_hub and accelerator.is_main_process else []
    accelerator.end_training()
    return conclude(outcomes, unpushed)


def read_styles(args: argparse.Namespace) -> Styles:
    from oneshot_sketch.data.styles import open_dataset, styles_of_dataset, styles_of_folder, styles_of_table

    if args.train_data_dir is not None:
        return styles_of_folder(args.train_data_dir)
    if args.train_table is not None:
        return styles_of_table(args.train_table)
    dataset = open_dataset(
        args.dataset_name, args.dataset_config_name, split=args.dataset_split, cache_dir=args.cache_dir, token=args.hub_token
    )
    return styles_of_dataset(
        dataset, args.original_image_column, args.edited_image_column, args.style_column, args.max_train_samples
    )


def configure(args: argparse.Namespace, processes: int) -> tuple[InstructionLearnerConfig, int]:
    """The learner's settings, and the draws in one pass; `processes` share the draws of a step."""
    from oneshot_sketch import InstructionLearnerConfig

    given = {
        "steps": args.max_train_steps,
        "learning_rate": args.learning_rate,
        "schedule": args.lr_scheduler and args.lr_scheduler.removesuffix("_with_warmup"),
        "warmup": 0 if args.lr_scheduler == "constant" else args.lr_warmup_steps,
        "weight_decay": args.adam_weight_decay,
        "resolution": args.resolution,
        "gradient_checkpointing": args.gradient_checkpointing or None,
        "init": args.init or ("text" if args.text else None),
        "text": args.text,
        "rows": args.rows,
        "edit_weight": args.edit_weight,
        "fsim_weight": args.fsim_weight,
        "tone_weight": args.tone_weight,
        "shading_weight": args.shading_weight,
    }
    passes = processes * args.gradient_accumulation_steps
    given["draws"] = args.train_batch_size and args.train_batch_size * passes
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    config = InstructionLearnerConfig.preset(args.preset, seed=args.seed, **changes)
    return config, args.train_batch_size or -(-config.draws // passes)


def load(args: argparse.Namespace, dtype: Any, accelerator: Accelerator) -> OneShotSketchPipeline:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from oneshot_sketch import OneShotSketchPipeline

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    given = {"revision": args.revision, "variant": args.variant, "cache_dir": args.cache_dir}
    chosen = {key: value for key, value in given.items() if value is not None}
    with accelerator.main_process_first():  # or all would download it
        pipe = OneShotSketchPipeline.from_pretrained(args.pretrained_model_name_or_path, dtype=dtype, **chosen)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(accelerator.device)


def drawing(pipe: OneShotSketchPipeline, photos: Sequence[Any]) -> Draw:
    """A sheet of what an instruction makes of these photos, or of its own pairs if there are none."""
    import torch

    from oneshot_sketch.cli.learning import preview
    from oneshot_sketch.contact_sheet import contact_sheet

    def sheet(pairs: Any) -> Any:
        if not photos:
            return preview(pipe, pairs)
        drawn = [pipe(image=photo, generator=torch.Generator().manual_seed(0)).images[0] for photo in photos]
        return contact_sheet({"photo": photos, "learned": drawn})

    def draw(instruction: Any, pairs: Any) -> Any:
        pipe.load_instruction(instruction)
        try:
            return sheet(pairs)
        finally:
            pipe.unload_instruction()

    return draw


def say(outcome: Outcome) -> None:
    name = f"{outcome.style}: " if outcome.style else ""
    if outcome.error:
        print(f"{name}failed: {outcome.error}", file=sys.stderr, flush=True)
    elif outcome.seconds is None:
        print(f"{name}already learned, in {outcome.folder}", flush=True)
    else:
        print(f"{name}learned in {outcome.seconds:.0f} s. Saved in {outcome.folder}", flush=True)


def silent(outcome: Outcome) -> None: ...


def push(args: argparse.Namespace, outcomes: Sequence[Outcome]) -> list[str]:
    """Share what was learned; returns a complaint for each instruction that could not be."""
    from oneshot_sketch import LearnedInstruction

    base = args.hub_model_id or args.output_dir.resolve().name
    complaints = []
    for outcome in outcomes:
        if outcome.error:
            continue
        repo = "-".join(filter(None, (base, re.sub(r"[^\w.-]+", "-", outcome.style))))
        try:
            LearnedInstruction.from_pretrained(outcome.folder).push_to_hub(
                repo, token=args.hub_token, commit_message="Learned with recipes/learn_instruction.py"
            )
        except InputError as error:
            complaints.append(str(error))
    return complaints


def conclude(outcomes: Sequence[Outcome], unpushed: Sequence[str]) -> int:
    """
    Raises:
        InputError: some styles failed, or were not pushed.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    if any(outcome.is_bug for outcome in failed):
        return 1
    if failed:
        names = ", ".join(outcome.style for outcome in failed)
        raise InputError(
            f"{len(failed)} of {len(outcomes)} styles failed ({names}); mend them and run the same command again with "
            "--resume_from_checkpoint latest."
        )
    if unpushed:
        raise InputError(f"learned, but {len(unpushed)} of {len(outcomes)} could not be pushed: {unpushed[0]}")
    return 0


def guarded(work: Callable[[], int]) -> int:
    """Unusable input, a full disk and a stop asked for end with one sentence and code 2, said once a machine."""
    try:
        return work()
    except InputError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "stopped; run the same command again with --resume_from_checkpoint latest to go on."
    except MemoryError:
        message = "there is not enough memory; use a smaller --train_batch_size or --resolution."
    except OSError as error:
        message = f"{error.filename or 'a file'} cannot be used ({error.strerror or error}); check the path and the disk."
    except RuntimeError as error:
        if "out of memory" not in str(error) and "allocate memory" not in str(error):  # CUDA's and the CPU's words
            raise
        message = "there is not enough memory; use a smaller --train_batch_size or --resolution."
    if os.environ.get("LOCAL_RANK", "0") == "0":
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        print(f"learn_instruction: {line}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="learn_instruction: %(message)s")
    sys.exit(guarded(lambda: run(parse_args())))
