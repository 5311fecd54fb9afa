"""The state of a run in small folders: kilobytes, no pickles, exact to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from oneshot_sketch.atomic import replacing, replacing_folder
from oneshot_sketch.errors import InputError

FILE = "state.safetensors"

State = tuple[dict[str, Tensor], dict[str, Any]]


class Checkpoints(Protocol):
    """When the state of a run is kept, and where."""

    @property
    def folder(self) -> Path: ...

    def due(self, step: int) -> bool: ...

    def load(self) -> State | None: ...

    def save(self, state: State) -> None: ...


@dataclass(frozen=True)
class LatestState:
    """One folder, written over every `every` steps."""

    folder: Path
    every: int

    def due(self, step: int) -> bool:
        return step % self.every == 0

    def load(self) -> State | None:
        return load_state(self.folder)

    def save(self, state: State) -> None:
        save_state(self.folder, *state)


@dataclass(frozen=True)
class NumberedStates:
    """`folder`/checkpoint-N after every N-th step of `every`, as diffusers' training scripts lay them out.

    Attributes:
        limit: how many are kept, the newest; None is all.
        resume: "latest" goes on from the newest if there is one; a path, or the name of a folder in `folder`, from that one.

    Raises:
        InputError: nothing is kept or written every 0 steps.
    """

    folder: Path
    every: int = 20
    limit: int | None = None
    resume: str | Path | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"checkpointing_steps is {self.every}; it must be at least 1.")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"checkpoints_total_limit is {self.limit}; keep at least 1, or leave it out to keep all.")

    def found(self) -> list[Path]:
        """The checkpoints in `folder`, oldest first."""
        numbered = {
            int(path.name.removeprefix("checkpoint-")): path
            for path in self.folder.glob("checkpoint-*")
            if path.name.removeprefix("checkpoint-").isdecimal() and (path / FILE).is_file()
        }
        return [numbered[step] for step in sorted(numbered)]

    def due(self, step: int) -> bool:
        return step % self.every == 0

    def load(self) -> State | None:
        """
        Raises:
            InputError: the one named in `resume` is not there, or is damaged.
        """
        if self.resume is None:
            return None
        if str(self.resume) == "latest":
            there = self.found()
            return load_state(there[-1]) if there else None
        named = Path(self.resume)
        for folder in (named, self.folder / named.name):
            if (state := load_state(folder)) is not None:
                return state
        raise InputError(f"there is no checkpoint {self.resume}; give the path of a checkpoint-N folder, or latest.")

    def save(self, state: State) -> None:
        for left in self.folder.glob(".checkpoint-*.part"):  # of a run that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        with replacing_folder(self.folder / f"checkpoint-{state[1]['step']}") as part:
            save_state(part, *state)
        if self.limit is not None:
            for old in self.found()[: -self.limit]:
                shutil.rmtree(old, ignore_errors=True)


def save_state(folder: Path, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
    """One file, so tensors and scalars can never be of different steps."""
    with replacing(folder / FILE) as part:
        part.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"scalars": json.dumps(scalars)}))


def load_state(folder: Path) -> State | None:
    """What `save_state` wrote, or None where there is nothing.

    Raises:
        InputError: a damaged file.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return load(data), json.loads(header["__metadata__"]["scalars"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to start again.") from None
