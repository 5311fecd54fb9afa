"""One pair → one instruction: the loop of the paper's Algorithm 1, written out."""

from __future__ import annotations

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
from oneshot_sketch.learners.draws import Draws, draw, draw_pictures, fixed_grid
from oneshot_sketch.learners.initial import Start
from oneshot_sketch.learners.likeness import compare, drawn_in_one_step, likeness
from oneshot_sketch.learners.material import Drawable, Material, encode
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.learners.state import Run
from oneshot_sketch.losses import (
    draw_weight,
    edit_cosine,
    edit_direction_loss,
    pool_rows,
    reconstruction_loss,
)
from oneshot_sketch.models.clip import ClipTowers, load_clip
from oneshot_sketch.pair import PhotoSketchPair


@dataclass(frozen=True)
class LearningState:
    """What a callback sees after a step."""

    step: int
    reconstruction: float
    edit_cosine: float
    fsim: float
    tone: float
    shading: float
    learning_rate: float
    instruction: Callable[[], LearnedInstruction]


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
            self.config = replace(self.config, drawings=0, judge="loss")
        if not (self.config.fsim_weight or self.config.tone_weight or self.config.shading_weight):
            self.config = replace(self.config, drawings=0)
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
        """Minimise L = λ_rec L_rec + λ_edit L_edit (Eq. 6) + λ_fsim L_fsim + λ_tone L_tone + λ_shading L_shading over the free
        rows, and the companion if there is one.

        The last three, ours, compare a drawing in one step with the artist's sketch: 1 − FSIM, the tone distance (to tones first
        averaged with what a measured start draws: n pairs count for n / (n + 1)), and the squared error of shading.

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
        drawable = material.drawable if config.drawings else None
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
                seen, alike = torch.zeros(2, device=free.device), torch.zeros(3, device=free.device)
                for parameter in moving.values():
                    parameter.grad = torch.zeros_like(parameter)
                with self._attached(companion):
                    for draws, part in shares.of(draw(config, run.step, views, backbone.num_timesteps, shape), config.draws):
                        reconstruction, cosine = losses = self._losses(free, material, draws)
                        loss = config.reconstruction_weight * reconstruction
                        if config.edit_weight:
                            loss = loss + config.edit_weight * edit_direction_loss(cosine, config.edit_clamp)
                        scaler.scale(part * loss).backward()
                        seen += part * losses.detach()
                    if drawable is not None:
                        pictures = draw_pictures(config, run.step, views, backbone.num_timesteps, drawable.shape)
                        for draws, part in shares.of(pictures, config.drawings):
                            compared = self._compared(free, start, drawable, draws)
                            scaler.scale(part * self._loss_of_drawings(compared)).backward()
                            alike += part * compared.detach()
                for parameter in moving.values():
                    parameter.grad = shares.sum(parameter.grad)  # pyright: ignore[reportArgumentType]
                scaler.step(optimiser)
                scaler.update()
                run.advance(config.ema_decay)

                reconstruction, cosine, structure, tone, shading = shares.sum(torch.cat([seen, alike])).tolist()
                bar.update()
                bar.set_postfix(rec=f"{reconstruction:.4f}", cos=f"{cosine:+.3f}")
                last = run.step == config.steps
                if last or (config.select_every and run.step % config.select_every == 0):
                    run.judge(judged(run.average), last_wins=not config.select_every)
                whole = run.state()
                if callback is not None:
                    callback(
                        LearningState(
                            run.step, reconstruction, cosine, structure, tone, shading, rate, lambda: learned(run.average)
                        )
                    )
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
        return encode(self.backbone, pairs, self.config, self._towers() if self.config.edit_weight else None, progress)

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
        """L_rec and cos(Δ, C) for one minibatch, (2,); gradients reach `free` alone."""
        config, backbone, start = self.config, self.backbone, material.start
        rows = start.with_free(free)
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
        cosine = reconstruction.new_zeros(())
        if material.direction is not None:
            pooled = pool_rows(rows, start.ins, config.edit_pooling)
            cosine = edit_cosine(material.direction, self._towers().project_text(pooled[None])[0])
        return torch.stack([reconstruction, cosine])

    def _compared(self, free: Tensor, start: Start, drawable: Drawable, draws: Draws) -> Tensor:
        """What `compare` finds of one-step drawings, (3,); gradients reach `free` alone."""
        backbone, rows = self.backbone, start.with_free(free).expand(len(draws.t), -1, -1)
        t, noise = draws.t.to(backbone.device), draws.noise.to(backbone.device)
        prediction = backbone.predict(noise, t, rows, drawable.z_photo[draws.view])
        return compare(backbone.one_step(prediction), drawable.sketches[draws.view], drawable.levels[draws.view]).mean(1)

    def _loss_of_drawings(self, compared: Tensor) -> Tensor:
        structure, tone, shading = compared
        config = self.config
        return config.fsim_weight * (1 - structure) + config.tone_weight * tone + config.shading_weight * shading

    @torch.no_grad()
    def _judge(self, free: Tensor, material: Material, grid: Draws, shares: Shares) -> dict[str, float]:
        """The losses on the fixed grid, a minibatch at a time, and of drawings of the views; their weighted sum; the likeness."""
        config, start, seen = self.config, material.start, torch.zeros(2, device=free.device)
        for draws, part in shares.of(grid, config.draws):
            seen += part * self._losses(free, material, draws)
        reconstruction, cosine = shares.sum(seen).tolist()
        total = config.reconstruction_weight * reconstruction + config.edit_weight * (1 - cosine)
        losses = {"total": total, "reconstruction": reconstruction, "edit_cosine": cosine}
        if (drawable := material.drawable) is None:
            return losses
        rows = start.with_free(free).expand(len(drawable.shown), -1, -1)
        pictures = drawn_in_one_step(self.backbone, rows, start.neutral, drawable.z_photo[drawable.shown], config.seed)
        compared = compare(pictures, drawable.sketches[drawable.shown]).mean(1)
        losses |= dict(zip(("fsim", "tone", "shading"), compared.tolist(), strict=True))
        if config.drawings:
            losses["total"] += self._loss_of_drawings(compared).item()
        if config.judge == "likeness":
            losses["likeness"] = likeness(*compared[:2]).item()
        return losses

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
        rows = start.with_free(values["rows"].detach())
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
