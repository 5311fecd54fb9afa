"""Photos with sketches → a mapper from sketches to a frozen StyleGAN's latents: F_g, then E_r, then E_s (arXiv 2303.11162)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.draws import generator as random_numbers
from oneshot_sketch.learners.fine_grained_embedding import FineGrainedConfig, FineGrainedLearner
from oneshot_sketch.learners.picture_that_sketch_config import PictureThatSketchConfig
from oneshot_sketch.learners.picture_that_sketch_data import Batch, Examples, digest, rows, taken
from oneshot_sketch.learners.shared_augmentation import random_transforms, transformed
from oneshot_sketch.learners.stage import Stage, weights_digest
from oneshot_sketch.losses.discriminative import fine_grained_loss
from oneshot_sketch.losses.distillation import distillation_loss
from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
from oneshot_sketch.models.inversion import Perceptual
from oneshot_sketch.models.picture_that_sketch import ParallelMapper, SketchMapper, filled
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

N = TypeVar("N", bound=nn.Module)
Curve = list[dict[str, float]]
Partial = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Sketches (B, 1, h, w) in [-1, 1], the share of each that is drawn (B,), a generator on the CPU → unfinished sketches."""


@dataclass(frozen=True)
class LearnedPictureThatSketch:
    """What training leaves, all of it frozen.

    Attributes:
        mapper: with averaged weights.
        embedding, teacher: what was needed on the way.
        curves: by stage, mean losses every `log_every` steps.
    """

    mapper: SketchMapper | ParallelMapper
    embedding: FineGrainedEmbedding | None
    teacher: nn.Module | None
    curves: dict[str, Curve]


class PictureThatSketchLearner:
    """Trains a sketch mapper, and before it the embedding and the teacher that it needs.

    Args:
        generator: is frozen in place; its device is where training happens. Its noise is constant.
        config: of mapper and teacher.
        embedding: F_g, frozen in place, or how to train it.
        teacher: E_r, frozen in place: photos (B, 3, H, W) in [-1, 1] → ws (B, num_ws, w_dim), such as an `InversionEncoder` of
            the generator; None trains one where latents are not known.
        perceptual: distance of two batches (B, 3, H, W) in [-1, 1], (B,), differentiable, frozen; the paper's is LPIPS.
        partial: makes sketches unfinished; None learns from whole ones only.

    Raises:
        InputError: a perceptual weight without a distance.
    """

    def __init__(
        self,
        generator: StyleGAN2Generator,
        config: PictureThatSketchConfig | None = None,
        *,
        embedding: FineGrainedEmbedding | FineGrainedConfig | None = None,
        teacher: nn.Module | None = None,
        perceptual: Perceptual | None = None,
        partial: Partial | None = None,
    ) -> None:
        self.generator = generator.eval().requires_grad_(False)
        self.config, self.device = config or PictureThatSketchConfig(), generator.w_avg.device
        self.embedding = embedding or FineGrainedConfig()
        self.teacher, self.perceptual, self.partial = teacher, perceptual, partial
        if self.config.perceptual_weight and perceptual is None:
            raise InputError("the perceptual loss needs a distance; give LPIPS as perceptual=, or set perceptual_weight to 0.")
        given: tuple[Any, ...] = (self.embedding, teacher, perceptual)
        for network in given:
            if isinstance(network, nn.Module):
                network.to(self.device).eval().requires_grad_(False)

    def learn(
        self,
        data: Examples,
        *,
        folder: str | Path | None = None,
        checkpoint_every: int = 500,
        callback: Callable[[Stage[Any]], None] | None = None,
        progress: bool = True,
    ) -> LearnedPictureThatSketch:
        """Train what is missing of F_g and E_r, then E_s.

        Args:
            data: see `Examples`; photos of the generator's side. Known latents take the teacher's place.
            folder: keeps the state of every stage, `checkpoint_every` steps apart; a run found there goes on, on one device to
                the same bytes as an unbroken one.
            callback: called after every step of every stage.

        Raises:
            InputError: examples that do not fit, weights out of reach, or the state of another run.
        """
        known = self._taken(data, [0]).ws is not None
        untrained = self.config.fresh_mapper(self.generator)  # what is wrong with it should be said before hours of training
        told = callback or (lambda stage: None)
        kept: dict[str, Any] = {"folder": folder, "checkpoint_every": checkpoint_every, "progress": progress}
        embedding, teacher, targets = self.embedding, self.teacher, None
        curves: dict[str, Curve] = {}
        if not self.config.discriminative_weight:
            embedding = None
        elif isinstance(embedding, FineGrainedConfig):
            embedding, curves["embedding"] = FineGrainedLearner(embedding, self.device).learn(data, callback=told, **kept)
        if not known:
            if teacher is None:
                teacher, curves["teacher"] = self._teacher(data, told, kept)
            targets = self._targets(data, teacher)
        start: SketchMapper | ParallelMapper = untrained
        if self.config.latent_steps:
            start, curves["latents"] = self._latents(untrained, data, targets, told, kept)
        mapper, curves["mapper"] = self._mapper(start, data, embedding, targets, told, kept)
        return LearnedPictureThatSketch(mapper, embedding, teacher, curves)

    # ── E_r ──

    def _teacher(self, data: Examples, told: Callable[[Stage[Any]], None], kept: dict[str, Any]) -> tuple[nn.Module, Curve]:
        """Photo → all latents, so that G(E_r(r)) is r again."""
        config = self.config
        if not config.pixel_weight and not config.perceptual_weight:
            raise InputError("a teacher is taught by pixels and perception; give one of them a weight, or give a teacher.")
        network = config.fresh_mapper(self.generator, as_teacher=True)
        stage = self._stage("teacher", network, config.teacher_steps, data, {}, kept)
        for step in stage.steps():
            batch = self._taken(data, rows(len(data), min(config.batch, len(data)), step, config.seed))
            image = self.generator.synthesize(network(batch.photo)).image.float()
            stage.descend(self._likeness(image, batch.photo), config.weights_of_losses)
            told(stage)
        return stage.average, stage.run.curve

    @torch.no_grad()
    def _targets(self, data: Examples, teacher: nn.Module) -> Tensor:
        """The teacher's latents (N, num_ws, w_dim) of every photo, found once."""
        parts = [teacher(self._taken(data, range(i, min(i + 16, len(data)))).photo).float() for i in range(0, len(data), 16)]
        targets = torch.cat(parts)
        shape = (len(data), self.generator.num_ws, self.generator.config["w_dim"])
        if targets.shape != shape:
            raise InputError(f"the teacher gives ws {tuple(targets.shape)[1:]}, the generator reads {shape[1:]}; use its own.")
        return targets

    # ── E_s ──

    def _latents(
        self,
        network: SketchMapper | ParallelMapper,
        data: Examples,
        targets: Tensor | None,
        told: Callable[[Stage[Any]], None],
        kept: dict[str, Any],
    ) -> tuple[SketchMapper | ParallelMapper, Curve]:
        """L_KD alone, which needs neither faces nor the embedding, so that it comes to many more sketches a second."""
        config = self.config
        stage = self._stage("latents", network, config.latent_steps, data, self._identity(targets), kept)
        for step in stage.steps():
            chosen = rows(len(data), min(config.latent_batch, len(data)), step, config.seed)
            batch, ws = self._with_latents(chosen, data, targets)
            sketch, counts = self._unfinished(batch.sketch, network.max_predicted, random_numbers(config.seed, 1 + step))
            terms = {"distillation": distillation_loss(network(sketch, int(counts.max())), ws, counts)}
            stage.descend(terms, {"distillation": 1.0})
            told(stage)
        stage.average.requires_grad_(True)
        return stage.average, stage.run.curve

    def _mapper(
        self,
        network: SketchMapper | ParallelMapper,
        data: Examples,
        embedding: FineGrainedEmbedding | None,
        targets: Tensor | None,
        told: Callable[[Stage[Any]], None],
        kept: dict[str, Any],
    ) -> tuple[SketchMapper | ParallelMapper, Curve]:
        config, generator = self.config, self.generator
        more = {"embedding": embedding and weights_digest(embedding), **self._identity(targets)}
        stage = self._stage("mapper", network, config.steps, data, more, kept)
        for step in stage.steps():
            chosen = rows(len(data), min(config.batch, len(data)), step, config.seed)
            fresh = random_numbers(config.seed, 1 + step)
            batch, ws = self._with_latents(chosen, data, targets)
            sketch, counts = self._unfinished(batch.sketch, network.max_predicted, fresh)

            predicted = network(sketch, int(counts.max()))
            terms = {}
            if config.pixel_weight or config.perceptual_weight:
                # What no sketch tells is not asked of it: behind the predicted latents are the photo's own.
                own = generator.synthesize(filled(predicted, ws, counts)).image.float()
                terms |= self._likeness(own, batch.photo)
            if embedding is not None:
                z = torch.randn(len(chosen), generator.config["z_dim"], generator=fresh).to(self.device)
                with torch.no_grad():
                    tail = generator.map(z, config.truncation)
                face = generator.synthesize(filled(predicted, tail, counts)).image.float()
                moves = random_transforms(len(chosen), config.augment, fresh).to(self.device)
                with torch.no_grad():
                    wanted = embedding(transformed(batch.sketch, moves))
                terms["discriminative"] = fine_grained_loss(wanted, embedding(transformed(face, moves)))
            if config.distillation_weight:
                terms["distillation"] = distillation_loss(predicted, ws, counts)
            stage.descend(terms, config.weights_of_losses)
            told(stage)
        return stage.average, stage.run.curve

    def _identity(self, targets: Tensor | None) -> dict[str, Any]:
        return {"targets": None if targets is None else float(targets.double().sum()), "partial": self.partial is not None}

    def _with_latents(self, chosen: list[int], data: Examples, targets: Tensor | None) -> tuple[Batch, Tensor]:
        batch = self._taken(data, chosen)
        ws = batch.ws if targets is None else targets[chosen]
        assert ws is not None
        return batch, ws

    def _unfinished(self, sketch: Tensor, most: int, fresh: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sketches as far as they are drawn, and how many of `most` latents each decides."""
        if self.partial is None:
            return sketch, torch.full((len(sketch),), most, device=self.device)
        least = max(1, int(most * self.config.least_completion + 0.5))
        counts = torch.randint(least, most + 1, (len(sketch),), generator=fresh)
        return self.partial(sketch, counts / most, fresh), counts.to(self.device)

    def _likeness(self, image: Tensor, photo: Tensor) -> dict[str, Tensor]:
        """How far a picture is from its photo, the terms whose weight is not 0."""
        terms = {}
        if self.config.pixel_weight:
            terms["pixel"] = F.mse_loss(image, photo)
        if self.config.perceptual_weight:
            assert self.perceptual is not None
            terms["perceptual"] = self.perceptual(image.clamp(-1, 1), photo).mean()
        return terms

    def _taken(self, data: Examples, indices: Any) -> Batch:
        batch = taken(data, indices, self.device)
        side, ws = self.generator.config["resolution"], (self.generator.num_ws, self.generator.config["w_dim"])
        if batch.photo.shape[-2:] != (side, side) or (batch.ws is not None and batch.ws.shape[1:] != ws):
            given = tuple(batch.photo.shape[1:]), None if batch.ws is None else tuple(batch.ws.shape[1:])
            raise InputError(f"examples hold photos and ws of {given}; the generator makes (3, {side}, {side}) from {ws}.")
        return batch

    def _stage(self, name: str, network: N, steps: int, data: Examples, more: dict[str, Any], kept: dict[str, Any]) -> Stage[N]:
        config, perceptual = self.config, self.perceptual
        identity = {
            "settings": asdict(config),
            "generator": weights_digest(self.generator),
            "data": digest(data),
            "perceptual": perceptual and getattr(perceptual, "settings", getattr(perceptual, "__qualname__", "a distance")),
            **more,
        }
        optimiser = torch.optim.RAdam(network.parameters(), config.learning_rate)
        pace = {"ema_decay": config.ema_decay, "decay_share": config.decay_share, "log_every": config.log_every}
        return Stage(name, network, optimiser, steps, identity, **pace, **kept)
