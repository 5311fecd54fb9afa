"""The moving parts of a training of several networks, and how they are put away and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checkpoint import State
from oneshot_sketch.learners.state import as_json


class NetworksRun:
    """Networks with their buffers, optimisers, steps taken, and a curve of mean losses.

    Args:
        networks: by name.
        optimisers: by the name of the network whose parameters they move, in the order of its `parameters()`.
        identity: what makes two runs one, JSON-ready.
        log_every: steps between points of the curve.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        identity: dict[str, Any],
        log_every: int,
    ) -> None:
        self.networks, self.optimisers, self.identity, self.log_every = networks, optimisers, identity, log_every
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.pending: list[dict[str, float]] = []

    def advance(self, losses: dict[str, float]) -> None:
        self.step += 1
        self.pending.append(losses)
        if self.step % self.log_every == 0:
            means = {name: sum(one[name] for one in self.pending) / len(self.pending) for name in losses}
            self.curve.append({"step": self.step, **means})
            self.pending = []

    def state(self) -> State:
        tensors = {
            f"{name}/{key}": value for name, network in self.networks.items() for key, value in network.state_dict().items()
        }
        for name, optimiser in self.optimisers.items():
            for i, p in enumerate(self.networks[name].parameters()):
                tensors |= {f"{name}.optimiser/{i}/{key}": value for key, value in optimiser.state[p].items()}
        scalars = {"step": self.step, "curve": self.curve, "pending": self.pending, **self.identity}
        return tensors, scalars

    def resume(self, state: State | None, folder: Path) -> None:
        """
        Raises:
            InputError: the state of another run.
        """
        if state is None:
            return
        tensors, scalars = state
        for key, value in self.identity.items():
            if scalars.get(key) != as_json(value):
                raise InputError(f"{folder} holds a run with other {key}; delete it or choose another folder.")
        for name, network in self.networks.items():
            network.load_state_dict(_inside(tensors, name))
        for name, optimiser in self.optimisers.items():
            for i, p in enumerate(self.networks[name].parameters()):
                kept = _inside(tensors, f"{name}.optimiser/{i}")
                optimiser.state[p] = {key: value if key == "step" else value.to(p.device) for key, value in kept.items()}
        self.step, self.curve, self.pending = scalars["step"], scalars["curve"], scalars["pending"]


def _inside(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
