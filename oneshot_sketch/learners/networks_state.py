"""The moving parts of a training of several networks, and how they are put away and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oneshot_sketch.learners.checkpoint import State
from oneshot_sketch.learners.state import check_same_run


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
            self.note()

    def note(self) -> None:
        """Put the mean losses since the last point on the curve, if there were any steps since."""
        if self.pending:
            means = {name: sum(one[name] for one in self.pending) / len(self.pending) for name in self.pending[0]}
            self.curve.append({"step": self.step, **means})
            self.pending = []

    def state(self) -> State:
        tensors = tensors_of(self.networks, self.optimisers)
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
        check_same_run(self.identity, scalars, folder)
        take_up(tensors, self.networks, self.optimisers)
        self.step, self.curve, self.pending = scalars["step"], scalars["curve"], scalars["pending"]


def tensors_of(networks: Mapping[str, nn.Module], optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Weights, buffers and the optimisers' moments under flat names; not copied.

    Args:
        networks: by name.
        optimisers: by the name of the network whose parameters they move.
    """
    tensors = {f"{name}/{key}": value for name, network in networks.items() for key, value in network.state_dict().items()}
    for name, optimiser in optimisers.items():
        for i, p in enumerate(networks[name].parameters()):
            tensors |= {f"{name}.optimiser/{i}/{key}": value for key, value in optimiser.state[p].items()}
    return tensors


def take_up(
    tensors: Mapping[str, Tensor], networks: Mapping[str, nn.Module], optimisers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Put back what `tensors_of` gave, on the networks' own devices."""
    for name, network in networks.items():
        network.load_state_dict(_inside(tensors, name))
    for name, optimiser in optimisers.items():
        for i, p in enumerate(networks[name].parameters()):
            kept = _inside(tensors, f"{name}.optimiser/{i}")
            optimiser.state[p] = {key: value if key == "step" else value.to(p.device) for key, value in kept.items()}


def _inside(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
