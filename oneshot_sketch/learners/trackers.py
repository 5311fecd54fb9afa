"""Losses and pictures of a run, told to TensorBoard, Weights & Biases or Trackio through accelerate's trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.tracking import TensorBoardTracker, TrackioTracker, WandBTracker
from PIL import Image

from oneshot_sketch.errors import InputError

TRACKERS = ("tensorboard", "wandb", "trackio")


@dataclass(frozen=True)
class Reports:
    """Whom to tell.

    Attributes:
        names: of `TRACKERS`, or "all" for those that are installed.
        folder: for what is kept on this disk.
        project: name that runs are found under.

    Raises:
        InputError: an unknown tracker, or one that is not installed.
    """

    names: Sequence[str]
    folder: Path
    project: str = "oneshot-sketch"

    def __post_init__(self) -> None:
        if "all" in self.names:
            object.__setattr__(self, "names", tuple(name for name in TRACKERS if find_spec(name)))
        for name in self.names:
            if name not in TRACKERS:
                raise InputError(f"there is no tracker {name!r}; choose one of {', '.join(TRACKERS)}, all.")
            if find_spec(name) is None:
                raise InputError(f"{name} is not installed; pip install {name}.")

    def open(self, run: str, settings: Mapping[str, Any]) -> Trackers:
        return Trackers(self, run, settings)


class Trackers:
    """The trackers of one run, in whichever process learns it.

    Args:
        run: its name.
        settings: what to record of how it is learned.

    Raises:
        InputError: a tracker does not start.
    """

    def __init__(self, reports: Reports, run: str, settings: Mapping[str, Any]) -> None:
        PartialState(cpu=not torch.accelerator.is_available())  # accelerate's trackers ask for it; made once a process
        trackers = {
            "tensorboard": lambda: TensorBoardTracker(run, reports.folder),
            "wandb": lambda: WandBTracker(reports.project, name=run, dir=str(reports.folder)),
            "trackio": lambda: TrackioTracker(reports.project, name=run),
        }
        self._trackers = []
        if reports.names:
            reports.folder.mkdir(parents=True, exist_ok=True)
        for name in reports.names:
            tracker = trackers[name]()
            tracker.main_process_only = False  # else a style that another process learns would go untold
            try:
                tracker.start()
            except Exception as error:  # each has its own: no key, no network, no disk
                self.close()
                reason = str(error).strip().split("\n")[0].rstrip(".")
                raise InputError(f"{name} could not be started ({reason}); mend that or choose another --report_to.") from error
            self._trackers.append(tracker)
            tracker.store_init_configuration({key: _scalar(value) for key, value in settings.items()})

    def log(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self._trackers:
            tracker.log(dict(values), step=step)

    def log_image(self, name: str, image: Image.Image, step: int) -> None:
        for tracker in self._trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({name: np.asarray(image)[None]}, step=step, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({name: [image]}, step=step)
            else:  # accelerate's has no pictures
                tracker.log({name: import_module("trackio").Image(image)}, step=step)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.finish()


def _scalar(value: Any) -> int | float | str | bool:
    """TensorBoard takes no None and no tuple."""
    return value if isinstance(value, int | float | str) else str(value)
