"""The moving parts of one learning, and how they are put away and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checkpoint import State


class Run:
    """Parameter, optimiser, gradient scaler (of float16), average, best so far."""

    def __init__(
        self, free: Tensor, optimiser: torch.optim.AdamW, scaler: torch.amp.GradScaler, identity: dict[str, Any]
    ) -> None:
        self.free, self.optimiser, self.scaler, self.identity = free, optimiser, scaler, identity
        self.step = self.best_step = 0
        self.average = free.detach().clone()
        self.best = free.detach().clone()
        self.first: dict[str, float] = {}
        self.lowest: dict[str, float] = {}
        self.curve: list[dict[str, float]] = []

    def advance(self, ema_decay: float) -> None:
        self.step += 1
        decay = min(ema_decay, self.step / (self.step + 10))
        self.average.lerp_(self.free.detach(), 1 - decay if ema_decay else 1.0)

    def judge(self, losses: dict[str, float], last_wins: bool = False) -> None:
        self.curve.append({"step": self.step, **losses})
        if not self.first:
            self.first = losses
        if not self.lowest or last_wins or losses["total"] < self.lowest["total"]:
            self.lowest, self.best, self.best_step = losses, self.average.clone(), self.step

    def state(self) -> State:
        """A copy of all of it, for a checkpoint."""
        tensors = {"free": self.free, "average": self.average, "best": self.best}
        tensors |= {f"adamw.{key}": value for key, value in self.optimiser.state[self.free].items()}
        scalars = {"step": self.step, "best_step": self.best_step, "first": self.first, "lowest": self.lowest}
        scalars |= {"curve": list(self.curve), "scaler": self.scaler.state_dict()}
        return {key: value.detach().clone() for key, value in tensors.items()}, {**scalars, **self.identity}

    def resume(self, state: State | None, folder: Path) -> None:
        """
        Raises:
            InputError: the state of another run.
        """
        if state is None:
            return
        tensors, scalars = state
        check_same_run(self.identity, scalars, folder)
        self.free.data.copy_(tensors["free"])
        self.average.copy_(tensors["average"])
        self.best.copy_(tensors["best"])
        self.optimiser.state[self.free] = {
            key.removeprefix("adamw."): value if key == "adamw.step" else value.to(self.free.device)
            for key, value in tensors.items()
            if key.startswith("adamw.")
        }
        if scalars["scaler"]:
            self.scaler.load_state_dict(scalars["scaler"])
        self.step, self.best_step = scalars["step"], scalars["best_step"]
        self.first, self.lowest, self.curve = scalars["first"], scalars["lowest"], scalars["curve"]


def check_same_run(identity: Mapping[str, Any], scalars: Mapping[str, Any], folder: Path) -> None:
    """
    Raises:
        InputError: the state in `folder` is of a run with another identity.
    """
    for key, value in identity.items():
        if scalars.get(key) != as_json(value):
            raise InputError(f"{folder} holds a run with another {key}; delete it or choose another folder.")


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_json(v) for key, v in value.items()}
    return [as_json(v) for v in value] if isinstance(value, list | tuple) else value
