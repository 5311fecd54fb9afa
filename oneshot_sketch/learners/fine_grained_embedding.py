"""Pairs → a fine-grained embedding in which a sketch lies nearest to its own photo: triplet training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.draws import generator as random_numbers
from oneshot_sketch.learners.picture_that_sketch_data import Examples, digest, rows, taken
from oneshot_sketch.learners.shared_augmentation import random_transforms, transformed
from oneshot_sketch.learners.stage import Stage
from oneshot_sketch.losses.discriminative import triplet_loss
from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
from oneshot_sketch.models.image_trunk import Backbone


@dataclass(frozen=True, kw_only=True)
class FineGrainedConfig:
    """How to train the embedding. The defaults are the published baseline's, 200 passes over some 6,000 sketches.

    Attributes:
        backbone, dim, input_size, widths, units: of `FineGrainedEmbedding`.
        weights: where vgg16 or resnet50 starts: "imagenet" (torchvision's), a file of theirs, or None for noise; small always
            starts from noise.
        steps: of Adam.
        batch: pairs a step, at most as many as there are.
        learning_rate: of Adam.
        margin: of the triplet loss.
        negatives: the photo a sketch must keep away from is any other of the batch ("random") or the nearest wrong one.
        augment: how often each geometric change befalls a pair, photo and sketch alike; see `random_transforms`.
        log_every: steps between points of the curve.
        seed: of every random draw.
    """

    backbone: Backbone = "vgg16"
    dim: int = 512
    input_size: int = 256
    widths: Sequence[int] = (48, 96, 192)
    units: int = 2
    weights: str | None = "imagenet"
    steps: int = 75_000
    batch: int = 16
    learning_rate: float = 1e-4
    margin: float = 0.2
    negatives: Literal["random", "hardest"] = "random"
    augment: float = 0.0
    log_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "learning_rate", "margin", "log_every"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"the embedding's {name} is {getattr(self, name)}; it must be above 0.")
        if self.batch < 2:
            raise InputError(f"the embedding's batch is {self.batch}; a triplet needs two pairs.")
        if self.negatives not in ("random", "hardest"):
            raise InputError(f"the embedding's negatives are {self.negatives!r}; choose random or hardest.")
        if not 0 <= self.augment <= 1:
            raise InputError(f"the embedding's augment is {self.augment}; it must be from 0 to 1.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"the embedding's seed is {self.seed}; it must be from 0 to below 2**32.")


class FineGrainedLearner:
    """Trains a `FineGrainedEmbedding` on pairs of which no two show the same.

    Args:
        config: see `FineGrainedConfig`.
        device: where to train.
    """

    def __init__(self, config: FineGrainedConfig | None = None, device: str | torch.device = "cpu") -> None:
        self.config, self.device = config or FineGrainedConfig(), torch.device(device)

    def learn(
        self,
        data: Examples,
        *,
        folder: str | Path | None = None,
        checkpoint_every: int = 500,
        callback: Callable[[Stage[Any]], None] | None = None,
        progress: bool = True,
    ) -> tuple[FineGrainedEmbedding, list[dict[str, float]]]:
        """
        Args:
            data: see `Examples`; latents are passed over.
            folder: keeps the state in folder/embedding; a run found there goes on, on one device to the same bytes as an
                unbroken one.
            callback: called after every step.

        Returns:
            The embedding, frozen, and its curve: mean losses every `log_every` steps.

        Raises:
            InputError: fewer than two pairs, weights out of reach, or the state of another run.
        """
        config = self.config
        identity = {"embedding": asdict(config), "data": digest(data)}
        if len(data) < 2:
            raise InputError("a fine-grained embedding tells one from another; give at least two pairs.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = FineGrainedEmbedding(config.backbone, config.dim, config.input_size, config.widths, config.units)
        if config.weights is not None and config.backbone != "small":
            network.trunk.load_imagenet(config.weights)
        nn.Module.to(network, self.device)
        optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
        where = {"folder": folder, "checkpoint_every": checkpoint_every, "log_every": config.log_every, "progress": progress}
        stage = Stage("embedding", network, optimiser, config.steps, identity, **where)
        batch = min(config.batch, len(data))
        for step in stage.steps():
            pairs = taken(data, rows(len(data), batch, step, config.seed), self.device)
            moves = random_transforms(batch, config.augment, random_numbers(config.seed, 1 + step)).to(self.device)
            anchor, positive = network(transformed(pairs.sketch, moves)), network(transformed(pairs.photo, moves))
            negative = _nearest_wrong(anchor, positive) if config.negatives == "hardest" else positive.roll(1, 0)
            stage.descend({"triplet": triplet_loss(anchor, positive, negative, config.margin)}, {"triplet": 1.0})
            if callback is not None:
                callback(stage)
        return stage.average, stage.run.curve


def _nearest_wrong(anchor: Tensor, positive: Tensor) -> Tensor:
    """Of unit vectors (B, d) each: the row of `positive` nearest to each anchor, but its own."""
    likeness = (anchor @ positive.T).detach()
    return positive[likeness.fill_diagonal_(-torch.inf).argmax(1)]
