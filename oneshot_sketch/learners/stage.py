"""One network trained to an end: what every stage of a training in several stages has in common."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checkpoint import LatestState
from oneshot_sketch.learners.networks_state import NetworksRun

N = TypeVar("N", bound=nn.Module)


class Stage(Generic[N]):
    """A network, the running average of its weights, its optimiser, and where its state is kept.

    Args:
        name: of the stage, and of its folder.
        network: is trained in place.
        optimiser: of its parameters.
        steps: in all.
        identity: what makes two runs one, JSON-ready.
        ema_decay: of the average, less in the first steps; 0 is no average.
        decay_share: the last part of the steps, over which the learning rate falls linearly to 0.
        folder: keeps the state in folder/name; None keeps none.
        checkpoint_every: steps between checkpoints.
        log_every: steps between points of the curve.
        progress: show a bar.
    """

    def __init__(
        self,
        name: str,
        network: N,
        optimiser: torch.optim.Optimizer,
        steps: int,
        identity: dict[str, Any],
        *,
        ema_decay: float = 0.0,
        decay_share: float = 0.0,
        folder: str | Path | None = None,
        checkpoint_every: int = 500,
        log_every: int = 50,
        progress: bool = True,
    ) -> None:
        self.name, self.network, self.count, self.progress = name, network, steps, progress
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self._optimiser, self._ema_decay, self._decay_share = optimiser, ema_decay, decay_share
        self._rate = optimiser.param_groups[0]["lr"]
        self._checkpoint = None if folder is None else LatestState(Path(folder) / name, checkpoint_every)
        self.run = NetworksRun({"network": network, "average": self.average}, {"network": optimiser}, identity, log_every)

    def steps(self) -> Iterator[int]:
        """The steps still to take, from where a run found in the folder stopped; the state is put away after those due.

        Raises:
            InputError: the folder holds another run.
        """
        checkpoint, run = self._checkpoint, self.run
        if checkpoint is not None:
            run.resume(checkpoint.load(), checkpoint.folder)
        self.network.train()
        with tqdm(total=self.count, initial=run.step, desc=self.name, unit="step", disable=not self.progress) as bar:
            while run.step < self.count:
                yield run.step
                bar.update()
                bar.set_postfix({name: f"{value:.4f}" for name, value in self.losses.items()}, refresh=False)
                if checkpoint is not None and (run.step == self.count or checkpoint.due(run.step)):
                    checkpoint.save(run.state())
        self.network.eval()

    def descend(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
        """One step down the weighted sum of losses.

        Raises:
            InputError: the losses are no numbers any more.
        """
        fade = min(1.0, (self.count - self.run.step) / max(self._decay_share * self.count, 1))
        for group in self._optimiser.param_groups:
            group["lr"] = fade * self._rate
        self.losses = {name: float(term.detach()) for name, term in terms.items()}
        if not all(math.isfinite(value) for value in self.losses.values()):
            raise InputError(
                f"the losses of {self.name} are no numbers any more at step {self.run.step}; use a lower learning rate."
            )
        self._optimiser.zero_grad()
        torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()
        self._optimiser.step()
        self._follow(min(self._ema_decay, (1 + self.run.step) / (10 + self.run.step)))
        self.run.advance(self.losses)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def weights_digest(network: nn.Module) -> str:
    """Sixteen hex digits of SHA-256 over the signs of all weights, which no change of precision alters."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name}{tuple(value.shape)}".encode())
        found.update(torch.signbit(value.detach().cpu()).numpy().tobytes())
    return found.hexdigest()[:16]
