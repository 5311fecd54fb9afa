"""The same stream of sketches, spread over a Ray cluster by Ray Data."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from oneshot_sketch.batch.drawing import Drawing
from oneshot_sketch.batch.manifest import Row
from oneshot_sketch.batch.photos import DataSet, Photo
from oneshot_sketch.batch.stream import Done, sketch_stream
from oneshot_sketch.errors import InputError
from oneshot_sketch.learned_instruction import LearnedInstruction

_MAX_BLOCK = 1024  # photos an actor takes at once, and a killed one's successor looks through again


class SketchingActor:
    """Holds the networks once, and sketches blocks of references to photos."""

    def __init__(self, instruction: LearnedInstruction, how: dict[str, Any], output: str, device: str | None, size: int) -> None:
        self.drawing = Drawing(instruction, device=device, **how)
        self.output, self.size = Path(output), size

    def __call__(self, block: pa.Table) -> pa.Table:
        photos = (_photo(text) for text in block.column("photo").to_pylist())
        done = [one for portion in sketch_stream(self.drawing, photos, self.output, self.size) for one in portion]
        return pa.table({"done": [json.dumps({"row": asdict(one.row), "kept": one.kept}) for one in done]})


def sketch_with_ray(
    instruction: LearnedInstruction,
    how: dict[str, Any],
    photos: Iterable[Photo],
    output: Path,
    *,
    device: str | None,
    size: int | None,
    workers: int | None,
    total: int | None,
) -> Iterator[list[Done]]:
    """As `sketch_stream`, by a pool of actors; a block whose actor dies goes to another, which keeps what is on disk.

    Raises:
        InputError: Ray is not installed, cannot be reached, or has too few resources.
    """
    if find_spec("ray") is None:
        raise InputError("the Ray engine needs the ray extra; install it with: pip install 'oneshot-sketch[ray]'.")
    import ray

    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise InputError(
                f"there is no Ray cluster to use ({reason}); check RAY_ADDRESS, set RAY_AUTH_MODE=token if the cluster wants "
                "a token, or unset both to start one here."
            ) from None
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if device is None else 0
    available = gpus or int(resources.get("CPU", 0))
    workers = workers or (gpus or max(1, available - 1))
    if workers > available:
        raise InputError(
            f"Ray has {available} {'GPUs' if gpus else 'CPUs'} for {workers} workers; ask for fewer, or add machines."
        )
    size = min(size or (8 if gpus else 1), total or size or 8)
    references = [json.dumps(asdict(photo)) for photo in photos]
    block = min(max(len(references) // (8 * workers), 1), _MAX_BLOCK)
    block = -(-block // size) * size
    tables = [pa.table({"photo": references[i : i + block]}) for i in range(0, len(references), block)]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    results = ray.data.from_arrow(tables).map_batches(
        SketchingActor,
        fn_constructor_args=(instruction, how, str(output.resolve()), device, size),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0 if gpus else 1,
        num_gpus=1 if gpus else None,
    )
    for row in results.iter_rows():
        yield [_done(row["done"])]


def _photo(text: str) -> Photo:
    fields = json.loads(text)
    row = fields["row"] and (DataSet(**fields["row"][0]), fields["row"][1])
    return Photo(fields["name"], fields["path"], row)


def _done(text: str) -> Done:
    fields = json.loads(text)
    return Done(Row(**fields["row"]), fields["kept"])
