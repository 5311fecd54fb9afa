"""The moving parts of one StyleSketch training, and how they are put away and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from oneshot_sketch.learners.checkpoint import State
from oneshot_sketch.learners.networks_state import take_up, tensors_of
from oneshot_sketch.learners.shared_augmentation import AdaptiveProbability
from oneshot_sketch.learners.state import check_same_run
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
        tensors = tensors_of(self.networks, self.optimisers)
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
        check_same_run(self.identity, scalars, folder)
        take_up(tensors, self.networks, self.optimisers)
        for key, value in scalars["augmentation"].items():
            setattr(self.augmentation, key, value)
        self.step, self.curve = scalars["step"], scalars["curve"]
