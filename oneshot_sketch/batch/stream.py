"""Photos in, sketches on disk out: reading and writing in threads, drawing between them, bounded all the way."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image

from oneshot_sketch.batch.drawing import Drawing, record_of
from oneshot_sketch.batch.manifest import Row
from oneshot_sketch.batch.photos import Photo
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import save_png
from oneshot_sketch.pipelines.sketch_prior import FittedPrior

MAX_WAITING = 64 * 2**20  # bytes of fitted pixels that wait for others of their size
T = TypeVar("T")
_FLUSH = 256  # rows that need no drawing are handed on in such portions


@dataclass(frozen=True)
class Done:
    """A photo that needs nothing more: sketched now, sketched before (`kept`), or `row.error`."""

    row: Row
    kept: bool = False


@dataclass(frozen=True)
class _Fitted:
    photo: Photo
    sha256: str
    picture: Image.Image
    prior: FittedPrior | None


def sketch_stream(drawing: Drawing, photos: Iterable[Photo], output: Path, size: int) -> Iterator[list[Done]]:
    """Sketch photos to `output`, in batches of `size` photos of one fitted size.

    A sketch that is there already, of this very photo by this very instruction and these settings, is kept. While a batch is
    drawn the next photos are read and decoded and the last sketches are encoded and written, in threads. At most
    `MAX_WAITING` bytes of photos wait for others of their size; beyond, the largest group is drawn as it is.

    Yields:
        the photos done since the last time, their sketches on disk.

    Raises:
        InputError: the settings are out of range, or the disk is full; what was drawn before is on disk.
    """
    threads = min(8, max(2, os.cpu_count() or 1))
    with ThreadPoolExecutor(threads) as readers, ThreadPoolExecutor(2) as writers:
        ready = _in_order(readers, (lambda photo=photo: _prepare(drawing, photo, output) for photo in photos), 2 * size + threads)
        finished: list[Done] = []
        writing: list[Future[Done]] = []
        for group in _groups(ready, size, finished):
            if group:
                drawn = drawing.draw(
                    [one.picture for one in group], [one.sha256 for one in group], size, [one.prior for one in group]
                )
                finished += [future.result() for future in writing]
                writing = [
                    writers.submit(_write, drawing, one, sketch, text, output)
                    for one, (sketch, text) in zip(group, drawn, strict=True)
                ]
            if finished:
                yield finished[:]
                finished.clear()
        finished += [future.result() for future in writing]
        if finished:
            yield finished


def _in_order(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], T]], ahead: int) -> Iterator[T]:
    """The results of tasks in their order, of which no more than `ahead` are begun before they are asked for."""
    tasks = iter(tasks)
    begun = deque(pool.submit(task) for task in islice(tasks, ahead))
    try:
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(task) for task in islice(tasks, 1))
            yield result
    finally:
        for future in begun:
            future.cancel()


def _prepare(drawing: Drawing, photo: Photo, output: Path) -> Done | _Fitted:
    digest = None
    try:
        content = photo.read()
        digest = sha256(content).hexdigest()
        record = record_of(output / f"{photo.name}.png")
        if record.get("key") == drawing.key(digest):
            return Done(_row(drawing, photo, digest, record.get("inversion_error")), kept=True)
        upright = photo.decode(content)
        fitted = drawing.fit(upright)
        return _Fitted(photo, digest, fitted, drawing.prior(upright, fitted.size))
    except InputError as error:
        sentence = str(error) if photo.path in str(error) else f"{photo.path}: {error}"
        return Done(Row(photo.name, photo.path, digest, None, None, sentence, time.time()))


def _groups(ready: Iterable[Done | _Fitted], size: int, finished: list[Done]) -> Iterator[list[_Fitted]]:
    """Photos of one fitted size, `size` at a time; an empty group when only `finished` has grown."""
    waiting: dict[tuple[int, int], list[_Fitted]] = {}
    held = 0
    for one in ready:
        if isinstance(one, Done):
            finished.append(one)
            if len(finished) >= _FLUSH:
                yield []
            continue
        shape = one.picture.size
        waiting.setdefault(shape, []).append(one)
        held += 3 * shape[0] * shape[1]
        if len(waiting[shape]) < size:
            if held <= MAX_WAITING:
                continue
            shape = max(waiting, key=lambda shape: len(waiting[shape]))
        group = waiting.pop(shape)
        held -= 3 * shape[0] * shape[1] * len(group)
        yield group
    yield from waiting.values()
    yield []


def _write(drawing: Drawing, one: _Fitted, sketch: Image.Image, text: dict[str, str], output: Path) -> Done:
    save_png(sketch, output / f"{one.photo.name}.png", text)
    return Done(_row(drawing, one.photo, one.sha256, None if one.prior is None else one.prior.error.item()))


def _row(drawing: Drawing, photo: Photo, digest: str, inversion_error: float | None) -> Row:
    key, seed = drawing.key(digest), drawing.seed(digest)
    return Row(photo.name, photo.path, digest, key, seed, None, time.time(), inversion_error)
