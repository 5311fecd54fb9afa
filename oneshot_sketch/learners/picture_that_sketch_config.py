"""Settings of *Picture that Sketch*, and the mappers they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checks import check_settings
from oneshot_sketch.models.picture_that_sketch import ParallelMapper, SketchMapper, predicted_latents
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

Kind = Literal["autoregressive", "parallel"]


@dataclass(frozen=True, kw_only=True)
class PictureThatSketchConfig:
    """How to train teacher and sketch mapper. Networks and loss weights are the paper's, the schedule is ours.

    Attributes:
        mapper, teacher: "autoregressive" is a `SketchMapper`, "parallel" a `ParallelMapper`.
        max_predicted: latents the sketch decides; None is 10 of 14, and as much of any other number. A teacher gives all.
        backbone, input_size, widths, units: of both trunks.
        weights: where resnet50 starts: "imagenet" (torchvision's), a file of theirs, or None for noise; small always starts
            from noise.
        hidden, recurrent_layers, first, pooled: of a `SketchMapper`.
        teacher_steps, steps: of the two. A teacher is trained only where latents are neither known nor given.
        latent_steps: before those of the mapper, so many in which it meets the latents alone; no face is drawn for them.
        batch, latent_batch: pairs a step.
        learning_rate: of RAdam.
        decay_share: the last part of the steps, over which the rate falls linearly to 0.
        ema_decay: of the average of the weights that is kept in the end; 0 keeps the last.
        pixel_weight, perceptual_weight, discriminative_weight, distillation_weight: of the losses; 0 leaves one out. The teacher
            has the first two.
        least_completion: sketches are from this share on to 1 complete, and as many of the latents count.
        truncation: of the tail behind the predicted latents, where it is random.
        augment: how often each geometric change befalls sketch and face alike before the embedding sees them.
        log_every: steps between points of the curve.
        seed: of every random draw.
    """

    mapper: Kind = "autoregressive"
    teacher: Kind = "autoregressive"
    max_predicted: int | None = None
    backbone: Literal["resnet50", "small"] = "resnet50"
    input_size: int = 256
    widths: Sequence[int] = (48, 96, 192)
    units: int = 2
    weights: str | None = "imagenet"
    hidden: int = 512
    recurrent_layers: int = 1
    first: Literal["zero", "w_avg"] = "zero"
    pooled: int = 1
    teacher_steps: int = 20_000
    steps: int = 50_000
    latent_steps: int = 0
    batch: int = 4
    latent_batch: int = 32
    learning_rate: float = 1e-4
    decay_share: float = 0.0
    ema_decay: float = 0.999
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.8
    discriminative_weight: float = 0.5
    distillation_weight: float = 0.6
    least_completion: float = 0.3
    truncation: float = 0.7
    augment: float = 0.5
    log_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(
            self,
            positive=(
                "hidden",
                "recurrent_layers",
                "pooled",
                "teacher_steps",
                "steps",
                "batch",
                "latent_batch",
                "learning_rate",
                "log_every",
            ),
            not_negative=["latent_steps", *(f"{name}_weight" for name in self.weights_of_losses)],
            shares=("decay_share", "ema_decay", "least_completion", "truncation", "augment"),
        )
        if not any(self.weights_of_losses.values()):
            raise InputError("all weights of the loss are 0; give at least one of them.")

    @property
    def weights_of_losses(self) -> dict[str, float]:
        return {name: getattr(self, f"{name}_weight") for name in ("pixel", "perceptual", "discriminative", "distillation")}

    def fresh_mapper(self, generator: StyleGAN2Generator, *, as_teacher: bool = False) -> SketchMapper | ParallelMapper:
        """An untrained one for a generator, on its device; a teacher gives all latents.

        Raises:
            InputError: sizes that do not go together, or weights out of reach.
        """
        num_ws = generator.num_ws
        count = num_ws if as_teacher else self.max_predicted or predicted_latents(num_ws)
        shared = {
            "num_ws": num_ws,
            "w_dim": generator.config["w_dim"],
            "max_predicted": count,
            "backbone": self.backbone,
            "input_size": self.input_size,
            "widths": tuple(self.widths),
            "units": self.units,
        }
        own = {name: getattr(self, name) for name in ("hidden", "recurrent_layers", "first", "pooled")}
        autoregressive = (self.teacher if as_teacher else self.mapper) == "autoregressive"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + as_teacher)
            try:
                mapper = SketchMapper(**shared, **own) if autoregressive else ParallelMapper(**shared)
            except ValueError as error:
                raise InputError(str(error)) from None
        if self.weights is not None and self.backbone != "small":
            mapper.trunk.load_imagenet(self.weights)
        mapper.w_avg.copy_(generator.w_avg)
        nn.Module.to(mapper, generator.w_avg.device)
        return mapper
