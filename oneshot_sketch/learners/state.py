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
    """Parameters by name, optimiser, gradient scaler (of float16), averages, best so far."""

    def __init__(
        self,
        moving: Mapping[str, Tensor],
        optimiser: torch.optim.AdamW,
        scaler: torch.amp.GradScaler,
        identity: dict[str, Any],
    ) -> None:
        self.moving, self.optimiser, self.scaler, self.identity = dict(moving), optimiser, scaler, identity
        self.step = self.best_step = 0
        self.average = {name: p.detach().clone() for name, p in moving.items()}
        self.best = {name: p.detach().clone() for name, p in moving.items()}
        self.first: dict[str, float] = {}
        self.lowest: dict[str, float] = {}
        self.curve: list[dict[str, float]] = []

    def advance(self, ema_decay: float) -> None:
        self.step += 1
        decay = min(ema_decay, self.step / (self.step + 10))
        for name, average in self.average.items():
            average.lerp_(self.moving[name].detach(), 1 - decay if ema_decay else 1.0)

    def judge(self, losses: dict[str, float], last_wins: bool = False) -> None:
        self.curve.append({"step": self.step, **losses})
        if not self.first:
            self.first = losses
        if not self.lowest or last_wins or _cost(losses) < _cost(self.lowest):
            self.lowest, self.best_step = losses, self.step
            self.best = {name: average.clone() for name, average in self.average.items()}

    def state(self) -> State:
        """A copy of all of it, for a checkpoint."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.moving.items():
            tensors |= {f"{name}/free": parameter, f"{name}/average": self.average[name], f"{name}/best": self.best[name]}
            tensors |= {f"{name}/adamw.{key}": value for key, value in self.optimiser.state[parameter].items()}
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
        for name, parameter in self.moving.items():
            parameter.data.copy_(tensors[f"{name}/free"])
            self.average[name].copy_(tensors[f"{name}/average"])
            self.best[name].copy_(tensors[f"{name}/best"])
            beginning = f"{name}/adamw."
            self.optimiser.state[parameter] = {
                key.removeprefix(beginning): value if key == f"{beginning}step" else value.to(parameter.device)
                for key, value in tensors.items()
                if key.startswith(beginning)
            }
        if scalars["scaler"]:
            self.scaler.load_state_dict(scalars["scaler"])
        self.step, self.best_step = scalars["step"], scalars["best_step"]
        self.first, self.lowest, self.curve = scalars["first"], scalars["lowest"], scalars["curve"]


def _cost(losses: Mapping[str, float]) -> float:
    """What the best has least of: likeness counts, where it can be measured."""
    return -losses["likeness"] if "likeness" in losses else losses["total"]


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
