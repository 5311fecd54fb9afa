"""One pair → one instruction: the loop of the paper's Algorithm 1, written out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from oneshot_sketch.adapters import CompanionLayers, untaught
from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.errors import InputError
from oneshot_sketch.guidance import branch_weights, two_scale_guidance
from oneshot_sketch.instruction_record import InstructionRecord
from oneshot_sketch.learned_instruction import LearnedInstruction
from oneshot_sketch.learners.checkpoint import Checkpoints, LatestState
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.distil import distil
from oneshot_sketch.learners.draws import Draws, draw, fixed_grid
from oneshot_sketch.learners.initial import Start, starting_point
from oneshot_sketch.learners.likeness import likeness
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.learners.state import Run
from oneshot_sketch.learners.views import augmented_views
from oneshot_sketch.losses import (
    draw_weight,
    edit_cosine,
    edit_direction,
    edit_direction_loss,
    pool_rows,
    reconstruction_loss,
)
from oneshot_sketch.metrics.tone import tone_distance
from oneshot_sketch.models.clip import ClipTowers, load_clip
from oneshot_sketch.pair import PhotoSketchPair

SHOWN = 6  # views whose drawings are looked at when an instruction is judged


@dataclass(frozen=True)
class LearningState:
    """What a callback sees after a step."""

    step: int
    reconstruction: float
    edit_cosine: float
    tone: float
    learning_rate: float
    instruction: Callable[[], LearnedInstruction]


@dataclass(frozen=True)
class Material:
    """The pairs, encoded once: latents (V, C, h, w) of all views, the edit direction (p,), the start, a digest of the pixels.

    There are also the sketches, (V, 3, H, W), to compare drawings with; of the views `shown`, (J,) int64, when judging.
    """

    z_photo: Tensor
    z_sketch: Tensor
    sketches: Tensor
    shown: Tensor
    direction: Tensor | None
    start: Start
    names: tuple[str, ...]
    digest: str
    style: str | None
    licence: str | None


class InstructionLearner:
    """Learns a `LearnedInstruction` from one pair, or a few of one style.

    Args:
        backbone: frozen; no weight of it ever receives a gradient.
        config: see `InstructionLearnerConfig`.
        clip: towers for the edit direction, if already loaded.
    """

    def __init__(
        self, backbone: FrozenInstructPix2Pix, config: InstructionLearnerConfig | None = None, clip: ClipTowers | None = None
    ) -> None:
        self.backbone = backbone
        self.config = config or InstructionLearnerConfig()
        if not backbone.draws_in_one_step:
            self.config = replace(self.config, tone_weight=0.0)
        self._clip = clip
        if self.config.gradient_checkpointing:
            backbone.unet.enable_gradient_checkpointing()

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "mini", config: InstructionLearnerConfig | None = None, **kwargs: Any
    ) -> InstructionLearner:
        """Load the backbone by "mini", folder or Hub id; see `FrozenInstructPix2Pix.from_pretrained`."""
        return cls(FrozenInstructPix2Pix.from_pretrained(name, **kwargs), config)

    def learn(
        self,
        pairs: PhotoSketchPair | Sequence[PhotoSketchPair],
        *,
        checkpoint: str | Path | Checkpoints | None = None,
        callback: Callable[[LearningState], None] | None = None,
        progress: bool = True,
        shares: Shares | None = None,
    ) -> LearnedInstruction:
        """Minimise L = λ_rec L_rec + λ_edit L_edit (Eq. 6) + λ_tone L_tone over the free rows, and the companion if there is one.

        L_tone, ours, is the tone distance to the artist's sketch of a drawing in one step, 0 for a draw at any other timestep.

        Args:
            checkpoint: folder for the state of the run, or `NumberedStates`; if it holds one, the run goes on from there,
                to the same bytes as an unbroken one.
            callback: called after every step, in every process.
            shares: the processes that learn together and the micro-batches they take, if not one of each. The main process
                writes the checkpoints.

        Raises:
            InputError: no pair, pairs of different shapes, or a checkpoint of another run.
        """
        config, backbone, shares = self.config, self.backbone, shares or Shares()
        material = self._encode([pairs] if isinstance(pairs, PhotoSketchPair) else list(pairs), progress)
        start = replace(material.start, rows=shares.from_main(material.start.rows))
        material, views, shape = replace(material, start=start), len(material.z_photo), tuple(material.z_photo.shape[1:])
        first, stop = start.ins
        free = start.rows[first:stop].clone().requires_grad_()
        moving, groups, companion = {"rows": free}, [{"params": [free], "lr": config.learning_rate}], None
        if config.companion_rank:
            companion = CompanionLayers(
                backbone.unet, untaught(backbone.unet, config.companion_rank, config.seed), backbone.device
            )
            moving |= {name: matrix.requires_grad_() for name, matrix in companion.parameters.items()}
            groups.append({"params": list(companion.parameters.values()), "lr": config.companion_rate})
        optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        scaler = torch.amp.GradScaler(backbone.device.type, enabled=backbone.dtype == torch.float16)
        run = Run(moving, optimiser, scaler, self._identity(material))
        if isinstance(checkpoint, str | Path):
            checkpoint = LatestState(Path(checkpoint), config.select_every or config.steps)
        if checkpoint is not None:
            run.resume(checkpoint.load(), checkpoint.folder)
            shares.check_step(run.step)
            if run.step and shares.is_main:
                checkpoint.save(run.state())  # which clears away what a killed run left beside it
        grid = fixed_grid(config, backbone.num_timesteps, shape, views)
        whole = None  # the state after the last whole step: Ctrl-C may come in the middle of one

        def judged(values: Mapping[str, Tensor]) -> dict[str, float]:
            with holding(run.moving, values), self._attached(companion):
                return self._judge(free.detach(), material, grid, shares)

        def learned(values: Mapping[str, Tensor]) -> LearnedInstruction:
            return self._instruction(run, values, material, companion)

        if run.step == 0:
            run.judge(judged(run.average))

        bar = tqdm(total=config.steps, initial=run.step, desc="learning", unit="step", disable=not progress)
        try:
            while run.step < config.steps:
                share = _share_of_rate(config, run.step)
                rate = config.learning_rate * share
                for group, full in zip(optimiser.param_groups, (config.learning_rate, config.companion_rate), strict=False):
                    group["lr"] = full * share
                seen = torch.zeros(3, device=free.device)
                for parameter in moving.values():
                    parameter.grad = torch.zeros_like(parameter)
                with self._attached(companion):
                    for draws, part in shares.of(draw(config, run.step, views, backbone.num_timesteps, shape), config.draws):
                        reconstruction, cosine, tone = losses = self._losses(free, material, draws)
                        loss = config.reconstruction_weight * reconstruction
                        if config.edit_weight:
                            loss = loss + config.edit_weight * edit_direction_loss(cosine, config.edit_clamp)
                        if config.tone_weight:
                            loss = loss + config.tone_weight * tone
                        scaler.scale(part * loss).backward()
                        seen += part * losses.detach()
                for parameter in moving.values():
                    parameter.grad = shares.sum(parameter.grad)  # pyright: ignore[reportArgumentType]
                scaler.step(optimiser)
                scaler.update()
                run.advance(config.ema_decay)

                reconstruction, cosine, tone = shares.sum(seen).tolist()
                bar.update()
                bar.set_postfix(rec=f"{reconstruction:.4f}", cos=f"{cosine:+.3f}")
                last = run.step == config.steps
                if last or (config.select_every and run.step % config.select_every == 0):
                    run.judge(judged(run.average), last_wins=not config.select_every)
                whole = run.state()
                if callback is not None:
                    callback(LearningState(run.step, reconstruction, cosine, tone, rate, lambda: learned(run.average)))
                # after the callback, so that a run killed between them calls it again rather than never
                if checkpoint is not None and shares.is_main and (last or checkpoint.due(run.step)):
                    checkpoint.save(whole)
        except KeyboardInterrupt:
            if checkpoint is not None and shares.is_main and whole is not None:
                checkpoint.save(whole)
            raise
        finally:
            bar.close()
        with holding(run.moving, run.best), self._attached(companion):
            return self._distilled(learned(run.best), material, progress)

    def _distilled(self, instruction: LearnedInstruction, material: Material, progress: bool) -> LearnedInstruction:
        """It with the guidance written into it, and drawn without; itself where there is none, or the config wants none of it."""
        backbone, start = self.backbone, material.start
        scales = backbone.drawing["guidance_scale"], backbone.drawing["image_guidance_scale"]
        if not self.config.distil_steps or branch_weights(*scales) == (1, 0, 0):
            return instruction
        rows = instruction.embeddings.to(backbone.device)
        rows, errors = distil(
            backbone, rows, start.neutral, start.ins, material.z_photo, material.z_sketch, self.config, progress
        )
        record = replace(
            instruction.record,
            drawing={**instruction.record.drawing, "guidance_scale": 1.0, "image_guidance_scale": 1.0},
            losses={**instruction.record.losses, **errors},
        )
        return LearnedInstruction(rows, start.neutral, start.ins, record, instruction.companion)

    def _attached(self, companion: CompanionLayers | None) -> AbstractContextManager[None]:
        return nullcontext() if companion is None else companion.attached(self.backbone.unet)

    def _encode(self, pairs: list[PhotoSketchPair], progress: bool) -> Material:
        if not pairs:
            raise InputError("there is no pair to learn from; give at least one photo and its sketch.")
        config, backbone = self.config, self.backbone
        resolution = config.resolution or backbone.resolution
        tensors = [pair.tensors(resolution) for pair in pairs]
        if len({photo.shape for photo, _ in tensors}) > 1:
            raise InputError("the pairs differ in shape; crop all photos and sketches to one shape, such as a square.")
        photos, sketches = (torch.cat(side) for side in zip(*tensors, strict=True))
        seen = [augmented_views(p, s, config.augmentations, config.seed + i) for i, (p, s) in enumerate(tensors)]
        z_photo = torch.cat([backbone.encode_photo(p) for p, _ in seen])
        z_sketch = torch.cat([backbone.encode_sketch(s) for _, s in seen])
        direction = None
        if config.edit_weight:
            clip = self._towers()
            with torch.no_grad():
                seen_by_clip = (clip.encode_image(images.to(backbone.device)) for images in (photos, sketches))
                direction = edit_direction(*seen_by_clip)
        start = starting_point(backbone, photos, sketches, config, progress)
        shown = torch.linspace(0, len(z_photo) - 1, min(SHOWN, len(z_photo))).long()
        return Material(
            z_photo,
            z_sketch,
            torch.cat([s for _, s in seen]),
            shown,
            direction,
            start,
            tuple(p.name for p in pairs),
            hashlib.sha256(b"".join(side.numpy().tobytes() for side in (photos, sketches))).hexdigest()[:16],
            _common(p.style for p in pairs),
            _common(p.licence for p in pairs),
        )

    def _towers(self) -> ClipTowers:
        if self._clip is None:
            self._clip = load_clip(self.config.clip or self.backbone.clip).to(self.backbone.device)
        width = self.backbone.text_encoder.config.hidden_size
        if self._clip.text_width != width:
            raise InputError(
                f"the CLIP projects text of width {self._clip.text_width}, but the backbone's instruction has {width}; "
                "choose the CLIP its text encoder comes from, or edit_weight 0."
            )
        return self._clip

    def _losses(self, free: Tensor, material: Material, draws: Draws) -> Tensor:
        """L_rec, cos(Δ, C) and L_tone for one minibatch, (3,); gradients reach `free` alone."""
        config, backbone, start = self.config, self.backbone, material.start
        rows = torch.cat([start.rows[: start.ins[0]], free, start.rows[start.ins[1] :]])
        t, noise = draws.t.to(backbone.device), draws.noise.to(backbone.device)
        z, z_p = material.z_sketch[draws.view], material.z_photo[draws.view]
        z_t = backbone.add_noise(z, noise, t)
        prediction = backbone.predict(z_t, t, rows.expand(len(z), -1, -1), z_p)
        if config.train_guidance is not None:
            neutral = start.neutral.expand(len(z), -1, -1)
            with torch.no_grad():
                photo = backbone.predict(z_t, t, neutral, z_p)
                nothing = backbone.predict(z_t, t, neutral, torch.zeros_like(z_p))
            prediction = two_scale_guidance(prediction, photo, nothing, *config.train_guidance)
        weight = draw_weight(backbone.alphas_cumprod[t], backbone.prediction_type, config.weighting)
        reconstruction = reconstruction_loss(prediction, backbone.target(z, noise, t), weight)
        cosine = tone = reconstruction.new_zeros(())
        if material.direction is not None:
            pooled = pool_rows(rows, start.ins, config.edit_pooling)
            cosine = edit_cosine(material.direction, self._towers().project_text(pooled[None])[0])
        last = (draws.t == backbone.num_timesteps - 1).nonzero().flatten()
        if config.tone_weight and len(last):
            drawn, sketches = backbone.one_step(prediction[last]), material.sketches[draws.view[last]]
            tone = tone_distance(drawn, sketches.to(drawn)).sum() / len(t)
        return torch.stack([reconstruction, cosine, tone])

    @torch.no_grad()
    def _judge(self, free: Tensor, material: Material, grid: Draws, shares: Shares) -> dict[str, float]:
        """The losses on the fixed grid, a minibatch at a time, their weighted sum, and the likeness of drawings of the views."""
        config, seen = self.config, torch.zeros(3, device=free.device)
        for draws, part in shares.of(grid, config.draws):
            seen += part * self._losses(free, material, draws)
        reconstruction, cosine, tone = shares.sum(seen).tolist()
        total = config.reconstruction_weight * reconstruction + config.edit_weight * (1 - cosine) + config.tone_weight * tone
        losses = {"total": total, "reconstruction": reconstruction, "edit_cosine": cosine}
        if config.tone_weight:
            losses["tone"] = tone
        if config.judge == "loss" or not self.backbone.draws_in_one_step:
            return losses
        start = material.start
        rows = torch.cat([start.rows[: start.ins[0]], free, start.rows[start.ins[1] :]]).expand(len(material.shown), -1, -1)
        z_photo, sketches = material.z_photo[material.shown], material.sketches[material.shown]
        alike = likeness(self.backbone, rows, start.neutral, z_photo, sketches, config.seed)
        return {**losses, "likeness": alike.mean().item()}

    def _identity(self, material: Material) -> dict[str, Any]:
        """What must agree for a checkpoint to belong to this run."""
        return {
            "config": asdict(self.config),
            "fingerprint": self.backbone.fingerprint,
            "pairs": list(material.names),
            "pictures": material.digest,
        }

    def _instruction(
        self, run: Run, values: Mapping[str, Tensor], material: Material, companion: CompanionLayers | None
    ) -> LearnedInstruction:
        start = material.start
        rows = torch.cat([start.rows[: start.ins[0]], values["rows"].detach(), start.rows[start.ins[1] :]])
        record = InstructionRecord(
            backbone=self.backbone.name,
            fingerprint=self.backbone.fingerprint,
            text=start.text,
            config=asdict(self.config),
            seed=self.config.seed,
            steps=run.step,
            best_step=run.best_step,
            losses={
                **{f"{key} at the start": value for key, value in run.first.items()},
                **{f"{key} kept": value for key, value in run.lowest.items()},
            },
            curve={key: tuple(row[key] for row in run.curve) for key in run.curve[0]},
            drawing=self.backbone.drawing,
            pairs=material.names,
            style=material.style,
            licence=material.licence,
            versions={name: version(name) for name in ("torch", "diffusers", "transformers")},
        )
        return LearnedInstruction(rows, start.neutral, start.ins, record, companion and companion.companion(values))


@contextmanager
def holding(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Iterator[None]:
    """While inside, parameters have other values."""
    own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        for name, parameter in parameters.items():
            parameter.data.copy_(values[name])
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.data.copy_(own[name])


def _share_of_rate(config: InstructionLearnerConfig, step: int) -> float:
    """Of the full learning rate, in [0, 1]."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "constant":
        return warm
    return warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))


def _common(values: Any) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None
