"""`oneshot-sketch learn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oneshot_sketch.errors import InputError


def learn(
    photo: Annotated[list[Path], typer.Option(help="The photo; repeat --photo and --sketch for more pairs.")],
    sketch: Annotated[list[Path], typer.Option(help="The sketch of it, framed alike.")],
    output: Annotated[Path, typer.Option(help="Folder for the learned instruction.")],
    backbone: Annotated[str, typer.Option(help='"mini", a folder or a Hub id of an InstructPix2Pix.')] = "mini",
    preset: Annotated[str, typer.Option(help="default, many-steps, guidance-free, paper or visii.")] = "default",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW.")] = None,
    rows: Annotated[int | None, typer.Option(help="Free rows of the instruction.")] = None,
    init: Annotated[str | None, typer.Option(help="describe, text, pez or noise.")] = None,
    text: Annotated[str | None, typer.Option(help="Text to start from.")] = None,
    edit_weight: Annotated[float | None, typer.Option(help="λ of the edit-direction loss; 0 is off.")] = None,
    fsim_weight: Annotated[float | None, typer.Option(help="λ of the loss for lines, on `mini`; 0 is off.")] = None,
    tone_weight: Annotated[float | None, typer.Option(help="λ of the loss for tones, on `mini`; 0 is off.")] = None,
    shading_weight: Annotated[float | None, typer.Option(help="λ of the loss for shading, on `mini`; 0 is off.")] = None,
    companion_rank: Annotated[
        int | None, typer.Option(help="Of a low-rank companion for finer texture, 1 to 4; 0 is none.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of the square the pair is fitted to.")] = None,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    style: Annotated[str | None, typer.Option(help="Name of the artist or style, for the record.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the sketch, for the record.")] = None,
    preview_steps: Annotated[int, typer.Option(help="Draw a preview every N steps; 0 is never.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an instruction that is already there.")] = False,
) -> None:
    """Learn an instruction from a pair (or a few of one style)."""
    if len(photo) != len(sketch):
        raise InputError(f"there are {len(photo)} photos and {len(sketch)} sketches; give one --sketch for each --photo.")
    if not output.name or output.is_file():
        raise InputError(f"{output} is no name for a folder; choose another --output.")
    if output.exists() and not overwrite:
        raise InputError(f"{output} already exists; choose another --output or add --overwrite.")

    from oneshot_sketch.cli.learning import learn_and_save, open_pairs
    from oneshot_sketch.learners.config import InstructionLearnerConfig

    given = {
        "steps": steps,
        "learning_rate": learning_rate,
        "rows": rows,
        "init": init or ("text" if text else None),
        "text": text,
        "edit_weight": edit_weight,
        "fsim_weight": fsim_weight,
        "tone_weight": tone_weight,
        "shading_weight": shading_weight,
        "companion_rank": companion_rank,
        "resolution": resolution,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    config = InstructionLearnerConfig.preset(preset, seed=seed, **changes)
    pairs = open_pairs(photo, sketch, style, licence)
    learn_and_save(pairs, config, backbone, output, device=device, preview_steps=preview_steps)
