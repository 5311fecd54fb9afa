"""`oneshot-sketch sketch`."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oneshot_sketch.errors import InputError

PRIOR_SCALE = 0.3  # the best of those measured (docs/systems/stylesketch.md)


class Engine(StrEnum):
    local = "local"
    ray = "ray"


def sketch(
    instruction: Annotated[str, typer.Option(help="Folder or Hub id of a learned instruction.")],
    output: Annotated[Path, typer.Option(help="Folder for the sketches, one <stem>.png a photo, and manifest.sqlite.")],
    photos: Annotated[
        list[str] | None,
        typer.Argument(help="Photos, folders, quoted globs, .csv or .parquet tables with a column of paths; - reads paths."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub instruction.")] = None,
    dataset: Annotated[str | None, typer.Option(help="A data set with an image column: Hub id or folder.")] = None,
    split: Annotated[str, typer.Option(help="Of the data set.")] = "train",
    column: Annotated[str, typer.Option(help="Of paths in a table, of pictures in a data set; default the usual names.")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Folders inside folders too.")] = False,
    text: Annotated[str | None, typer.Option(help="Joined with the instruction.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Of the instruction.")] = None,
    image_guidance_scale: Annotated[float | None, typer.Option(help="Of the photo; at least 1.")] = None,
    resolution: Annotated[str, typer.Option(help='"native", "photo" or a number of pixels.')] = "native",
    sketch_prior: Annotated[str | None, typer.Option(help='Folder of a sketch prior, or "mini".')] = None,
    sketch_prior_scale: Annotated[
        float | None, typer.Option(help="How much the prior counts; 0 is not at all. Default: 0.3 with --sketch-prior.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Default: the one the instruction was learned on.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Each photo's own follows from it and the photo.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Photos drawn together; default 1 on a CPU, else 8.")] = None,
    engine: Annotated[Engine, typer.Option(help="local (also under torchrun), or ray.")] = Engine.local,
    workers: Annotated[int | None, typer.Option(min=1, help="Of the Ray engine.")] = None,
) -> None:
    """Sketch photos by a learned instruction; run again, only what is missing or has changed is sketched."""
    if not photos and dataset is None:
        raise InputError("there is nothing to sketch; name photos, folders, tables or a --dataset.")
    from oneshot_sketch.batch import DataSet, DrawingSettings, sketch_photos
    from oneshot_sketch.learned_instruction import LearnedInstruction

    settings = DrawingSettings(
        text=text,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        image_guidance_scale=image_guidance_scale,
        resolution=int(resolution) if resolution.isdecimal() else resolution,  # type: ignore[arg-type]
        sketch_prior_scale=PRIOR_SCALE * (sketch_prior is not None) if sketch_prior_scale is None else sketch_prior_scale,
        seed=seed,
    )
    summary = sketch_photos(
        [
            *(iter(sys.stdin) if name == "-" else name for name in photos or ()),
            *([DataSet(dataset, split, column)] if dataset is not None else []),
        ],
        instruction if revision is None else LearnedInstruction.from_pretrained(instruction, revision=revision),
        output,
        settings=settings,
        backbone=backbone,
        sketch_prior=sketch_prior,
        device=device,
        batch_size=batch_size,
        recursive=recursive,
        column=column,
        engine=engine.value,
        workers=workers,
        progress=True,
    )
    if int(os.environ.get("RANK", "0")) and "MASTER_ADDR" in os.environ:
        return  # the first process speaks for all
    if summary.drawn or summary.kept:
        before = f" ({summary.kept} of them before)" if summary.kept else ""
        print(f"{summary.drawn + summary.kept} of {summary.photos} photos sketched{before}. Saved in {output}")
    if summary.failed == 1:
        raise InputError(summary.first_error)
    if summary.failed:
        raise InputError(f"{summary.failed} photos were not sketched; the first: {summary.first_error}")
