"""The moving parts of one StyleSketch training, and how they are put away and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checkpoint import State
from oneshot_sketch.learners.shared_augmentation import AdaptiveProbability
from oneshot_sketch.learners.state import as_json
from oneshot_sketch.models.stylesketch import StyleSketchGenerator


class StyleSketchRun:
    """Networks, their optimisers, the augmentation's probability, the curve.

    Args:
        discriminators: by the view they judge; none without adversarial terms.
        identity: what must agree for a state to belong to this run.
    """

    def __init__(
        self,
        generator: StyleSketchGenerator,
        discriminators: nn.ModuleDict,
        rates: tuple[float, float],
        augmentation: AdaptiveProbability,
        identity: dict[str, Any],
    ) -> None:
        self.generator, self.discriminators = generator, discriminators
        self.optimisers = {"generator": torch.optim.Adam(generator.parameters(), lr=rates[0])}
        if len(discriminators):
            self.optimisers["discriminators"] = torch.optim.Adam(discriminators.parameters(), lr=rates[1])
        self.augmentation, self.identity = augmentation, identity
        self.step = 0
        self.curve: list[dict[str, float]] = []

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminators": self.discriminators}

    def state(self) -> State:
        """All of it, for a checkpoint that is written at once: tensors are not copied."""
        tensors: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            tensors |= {f"{name}:{key}": value for key, value in network.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for i, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"adam:{name}:{i}:{key}": value for key, value in moments.items()}
        augmentation = {key: getattr(self.augmentation, key) for key in ("value", "signs", "seen")}
        return tensors, {"step": self.step, "curve": self.curve, "augmentation": augmentation, **self.identity}

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
                raise InputError(f"{folder} holds a run with another {key}; delete it or choose another folder.")
        for name, network in self.networks.items():
            own = {key.removeprefix(f"{name}:"): value for key, value in tensors.items() if key.startswith(f"{name}:")}
            network.load_state_dict(own)
        for name, optimiser in self.optimisers.items():
            saved = optimiser.state_dict()
            for key, value in tensors.items():
                if key.startswith(f"adam:{name}:"):
                    i, moment = key.split(":")[2:]
                    saved["state"].setdefault(int(i), {})[moment] = value
            optimiser.load_state_dict(saved)
        for key, value in scalars["augmentation"].items():
            setattr(self.augmentation, key, value)
        self.step, self.curve = scalars["step"], scalars["curve"]
