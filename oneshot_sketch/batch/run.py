"""`sketch_photos`: any number of photos, by one process, by several, or by a Ray cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from oneshot_sketch.batch.claims import Claims
from oneshot_sketch.batch.drawing import Drawing, DrawingSettings, load_instruction
from oneshot_sketch.batch.manifest import Manifest
from oneshot_sketch.batch.photos import DataSet, Photo
from oneshot_sketch.batch.sources import Source, find_photos
from oneshot_sketch.batch.stream import Done, sketch_stream
from oneshot_sketch.errors import InputError
from oneshot_sketch.learned_instruction import LearnedInstruction
from oneshot_sketch.pipelines.sketch_prior import Prior

_RECORD_EVERY = 1.0  # seconds; a sketch carries its own record, so a row may come later


@dataclass
class Summary:
    """What a run did.

    Attributes:
        drawn: photos sketched by it.
        kept: photos whose sketches were there already.
        failed: photos it could not sketch.
        first_error: one sentence on the first of those.
    """

    drawn: int = 0
    kept: int = 0
    failed: int = 0
    first_error: str = ""

    @property
    def photos(self) -> int:
        return self.drawn + self.kept + self.failed

    def add(self, other: Summary) -> None:
        self.drawn += other.drawn
        self.kept += other.kept
        self.failed += other.failed
        self.first_error = self.first_error or other.first_error

    def count(self, done: Done) -> None:
        error = done.row.error
        self.add(Summary(failed=1, first_error=error) if error else Summary(kept=1) if done.kept else Summary(drawn=1))


def sketch_photos(
    photos: Source | Iterable[Source],
    instruction: LearnedInstruction | str | Path,
    output: str | Path,
    *,
    settings: DrawingSettings | None = None,
    backbone: str | None = None,
    sketch_prior: Prior | str | Path | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    recursive: bool = False,
    column: str = "",
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    progress: bool = False,
) -> Summary:
    """Sketch photos to `output`/<name>.png; run again, it does only what is missing or has changed.

    Started by torchrun, or wherever RANK and WORLD_SIZE are set, each process takes its share of the photos, by name.

    Args:
        photos: a picture, folder, glob, table or data set (see `find_photos`), several of them, or an iterator of paths.
        instruction: an object, a folder or a Hub id.
        settings: default `DrawingSettings()`.
        backbone: default the one the instruction was learned on.
        sketch_prior: "mini", a folder or a `SketchPrior`, for settings that use one.
        device: default CUDA where there is one; under torchrun, the one of LOCAL_RANK.
        batch_size: photos drawn together, default 1 on a CPU and 8 elsewhere; never more than there are photos.
        recursive, column: as in `find_photos`.
        engine: "ray" sketches on the Ray cluster of RAY_ADDRESS, or on one started here; `output` must be a folder that
            all its machines share.
        workers: of the Ray engine, default one a GPU, or one a CPU but one.
        progress: show a bar, and the inversion error of each photo sketched with a prior.

    Returns:
        what was done; under torchrun, by all processes together.

    Raises:
        InputError: there are no photos, two of one name, or nothing to draw by. A photo that cannot be read is a row with an
            error in the manifest and no exception.
    """
    output = Path(output)
    if output.is_file():
        raise InputError(f"{output} is a file; give the name of a folder for the sketches.")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
    if workers is not None and (engine != "ray" or workers < 1):
        raise InputError("workers is a positive number for the Ray engine; without it, start several processes with torchrun.")
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    sources = [photos] if isinstance(photos, str | Path | DataSet | Iterator) else list(photos)
    streams = any(isinstance(source, Iterator) for source in sources)
    if streams and world > 1:
        raise InputError("several processes cannot share one stream of paths; write it to a .csv table first.")
    claims = Claims(output)

    def found() -> Iterator[Photo]:
        for source in sources:
            yield from find_photos(source, recursive=recursive, column=column, output=output)  # type: ignore[arg-type]

    total = None if streams else sum(claims.claim(photo) for photo in found())
    if total == 0:
        raise InputError("the tables name no photos; give one with a path a row.")
    claims = Claims(output)
    wanted = (photo for photo in found() if claims.claim(photo) and photo.shard(world) == rank)

    learned, name = load_instruction(instruction)
    how = {"settings": settings or DrawingSettings(), "name": name, "backbone": backbone, "sketch_prior": sketch_prior}
    if engine == "ray":
        from oneshot_sketch.batch.ray_engine import sketch_with_ray

        done = sketch_with_ray(learned, how, wanted, output, device=device, size=batch_size, workers=workers, total=total)
    else:
        drawing = Drawing(learned, device=device or _device(), **how)
        size = batch_size or default_batch_size(drawing)
        done = sketch_stream(drawing, wanted, output, min(size, total or size))
    share = total if world == 1 else None
    return _together(_record(done, Manifest(output, rank, world), share, progress and rank == 0), rank, world)


def default_batch_size(drawing: Drawing) -> int:
    return 1 if drawing.pipe.device.type == "cpu" else 8


def _record(done: Iterable[list[Done]], manifest: Manifest, total: int | None, progress: bool) -> Summary:
    from tqdm import tqdm

    summary, rows, last = Summary(), [], time.monotonic()
    try:
        with tqdm(total=total, desc="sketching", unit="photo", disable=not progress) as bar:
            for portion in done:
                for one in portion:
                    summary.count(one)
                    if progress and not one.kept and one.row.inversion_error is not None:
                        bar.write(f"{one.row.name}: inversion error {one.row.inversion_error:.3f}")
                rows += [one.row for one in portion if not one.kept]
                rows += manifest.missing(one.row for one in portion if one.kept)
                bar.update(len(portion))
                if time.monotonic() - last > _RECORD_EVERY:
                    manifest.record(rows)
                    rows, last = [], time.monotonic()
    finally:
        manifest.record(rows)
    return summary


def _device() -> str | None:
    """Of this process, where torchrun started several beside each other."""
    import torch

    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local is not None and torch.cuda.is_available() else None


def _together(summary: Summary, rank: int, world: int) -> Summary:
    """The sum over processes that torchrun started, once all are done: it stops the others when one leaves with an error."""
    if world == 1 or "MASTER_ADDR" not in os.environ:
        return summary
    from torch import distributed

    mine = not distributed.is_initialized()
    if mine:
        distributed.init_process_group("gloo", timeout=timedelta(days=30), rank=rank, world_size=world)
    shares: list[Summary] = [Summary()] * world
    distributed.all_gather_object(shares, summary)
    if mine:
        distributed.destroy_process_group()
    whole = Summary()
    for share in shares:
        whole.add(share)
    return whole
