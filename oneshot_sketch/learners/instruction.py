"""One pair → one instruction: the loop of the paper's Algorithm 1, written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.errors import InputError
from oneshot_sketch.guidance import two_scale_guidance
from oneshot_sketch.instruction_record import InstructionRecord
from oneshot_sketch.learned_instruction import LearnedInstruction
from oneshot_sketch.learners.checkpoint import load_state, save_state
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.draws import Draws, draw, fixed_grid
from oneshot_sketch.learners.initial import Start, starting_point
from oneshot_sketch.learners.views import augmented_views
from oneshot_sketch.losses import (
    draw_weight,
    edit_cosine,
    edit_direction,
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
    instruction: Callable[[], LearnedInstruction]


@dataclass(frozen=True)
class Material:
    """The pairs, encoded once: latents (V, C, h, w) of all views, the edit direction (p,) and the start."""

    z_photo: Tensor
    z_sketch: Tensor
    direction: Tensor | None
    start: Start
    names: tuple[str, ...]
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
        checkpoint: str | Path | None = None,
        callback: Callable[[LearningState], None] | None = None,
        progress: bool = True,
    ) -> LearnedInstruction:
        """Minimise L = λ_rec L_rec + λ_edit L_edit (Eq. 6) over the free rows.

        Args:
            checkpoint: folder for the state of the run; if it holds one, the run goes on from there, to the same bytes
                as an unbroken one.
            callback: called after every step.

        Raises:
            InputError: no pair, pairs of different shapes, or a checkpoint of another run.
        """
        config, backbone = self.config, self.backbone
        material = self._encode([pairs] if isinstance(pairs, PhotoSketchPair) else list(pairs), progress)
        start, views, shape = material.start, len(material.z_photo), tuple(material.z_photo.shape[1:])
        first, stop = start.ins
        free = start.rows[first:stop].clone().requires_grad_()
        optimiser = torch.optim.AdamW([free], lr=config.learning_rate, weight_decay=config.weight_decay)
        run = Run(free, optimiser, self._identity(material))
        if checkpoint is not None:
            run.resume(Path(checkpoint))
        grid = fixed_grid(config, backbone.num_timesteps, shape, views)
        whole = None  # the state after the last whole step: Ctrl-C may come in the middle of one
        if run.step == 0:
            run.judge(self._judge(free.detach(), material, grid))

        bar = tqdm(total=config.steps, initial=run.step, desc="learning", unit="step", disable=not progress)
        try:
            while run.step < config.steps:
                for group in optimiser.param_groups:
                    group["lr"] = _rate(config, run.step)
                reconstruction, cosine = self._losses(
                    free, material, draw(config, run.step, views, backbone.num_timesteps, shape)
                )
                loss = config.reconstruction_weight * reconstruction
                if config.edit_weight:
                    loss = loss + config.edit_weight * edit_direction_loss(cosine, config.edit_clamp)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.advance(config.ema_decay)

                bar.update()
                bar.set_postfix(rec=f"{reconstruction.item():.4f}", cos=f"{cosine.item():+.3f}")
                due = run.step == config.steps or (config.select_every and run.step % config.select_every == 0)
                if due:
                    run.judge(self._judge(run.average, material, grid), last_wins=not config.select_every)
                whole = run.state()
                if checkpoint is not None and due:
                    save_state(Path(checkpoint), *whole)
                if callback is not None:
                    callback(
                        LearningState(
                            run.step, reconstruction.item(), cosine.item(), lambda: self._instruction(run, run.average, material)
                        )
                    )
        except KeyboardInterrupt:
            if checkpoint is not None and whole is not None:
                save_state(Path(checkpoint), *whole)
            raise
        finally:
            bar.close()
        return self._instruction(run, run.best, material)

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
        return Material(
            z_photo,
            z_sketch,
            direction,
            start,
            tuple(p.name for p in pairs),
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

    def _losses(self, free: Tensor, material: Material, draws: Draws) -> tuple[Tensor, Tensor]:
        """L_rec and cos(Δ, C) for one minibatch; gradients reach `free` alone."""
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
        if material.direction is None:
            return reconstruction, reconstruction.new_zeros(())
        pooled = pool_rows(rows, start.ins, config.edit_pooling)
        return reconstruction, edit_cosine(material.direction, self._towers().project_text(pooled[None])[0])

    @torch.no_grad()
    def _judge(self, free: Tensor, material: Material, grid: Draws) -> dict[str, float]:
        """Both losses on the fixed grid, a minibatch at a time, and their weighted sum."""
        parts = []
        for i in range(0, len(grid.t), self.config.draws):
            part = slice(i, i + self.config.draws)
            draws = Draws(grid.view[part], grid.t[part], grid.noise[part])
            parts.append((len(draws.t), *self._losses(free, material, draws)))
        reconstruction = sum(n * rec.item() for n, rec, _ in parts) / len(grid.t)
        cosine = parts[0][2].item()
        total = self.config.reconstruction_weight * reconstruction + self.config.edit_weight * (1 - cosine)
        return {"total": total, "reconstruction": reconstruction, "edit_cosine": cosine}

    def _identity(self, material: Material) -> dict[str, Any]:
        """What must agree for a checkpoint to belong to this run."""
        return {"config": asdict(self.config), "fingerprint": self.backbone.fingerprint, "pairs": list(material.names)}

    def _instruction(self, run: Run, free: Tensor, material: Material) -> LearnedInstruction:
        start = material.start
        rows = torch.cat([start.rows[: start.ins[0]], free.detach(), start.rows[start.ins[1] :]])
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
        return LearnedInstruction(rows, start.neutral, start.ins, record)


class Run:
    """The moving parts of one learning: parameter, optimiser, average, best so far."""

    def __init__(self, free: Tensor, optimiser: torch.optim.AdamW, identity: dict[str, Any]) -> None:
        self.free, self.optimiser, self.identity = free, optimiser, identity
        self.step = self.best_step = 0
        self.average = free.detach().clone()
        self.best = free.detach().clone()
        self.first: dict[str, float] = {}
        self.lowest: dict[str, float] = {}
        self.curve: list[dict[str, float]] = []

    def advance(self, ema_decay: float) -> None:
        self.step += 1
        decay = min(ema_decay, self.step / (self.step + 10))
        self.average.lerp_(self.free.detach(), 1 - decay if ema_decay else 1.0)

    def judge(self, losses: dict[str, float], last_wins: bool = False) -> None:
        self.curve.append({"step": self.step, **losses})
        if not self.first:
            self.first = losses
        if not self.lowest or last_wins or losses["total"] < self.lowest["total"]:
            self.lowest, self.best, self.best_step = losses, self.average.clone(), self.step

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """A copy of all of it, for `save_state`."""
        tensors = {"free": self.free, "average": self.average, "best": self.best}
        tensors |= {f"adamw.{key}": value for key, value in self.optimiser.state[self.free].items()}
        scalars = {"step": self.step, "best_step": self.best_step, "first": self.first, "lowest": self.lowest}
        scalars |= {"curve": list(self.curve)}
        return {key: value.detach().clone() for key, value in tensors.items()}, {**scalars, **self.identity}

    def resume(self, folder: Path) -> None:
        loaded = load_state(folder)
        if loaded is None:
            return
        tensors, scalars = loaded
        for key, value in self.identity.items():
            if scalars.get(key) != _as_json(value):
                raise InputError(f"{folder} holds a run with another {key}; delete it or choose another folder.")
        self.free.data.copy_(tensors["free"])
        self.average.copy_(tensors["average"])
        self.best.copy_(tensors["best"])
        self.optimiser.state[self.free] = {
            key.removeprefix("adamw."): value if key == "adamw.step" else value.to(self.free.device)
            for key, value in tensors.items()
            if key.startswith("adamw.")
        }
        self.step, self.best_step = scalars["step"], scalars["best_step"]
        self.first, self.lowest = scalars["first"], scalars["lowest"]
        self.curve = scalars.get("curve", [{"step": 0, **self.first}])


def _rate(config: InstructionLearnerConfig, step: int) -> float:
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "constant":
        return config.learning_rate * warm
    return config.learning_rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))


def _common(values: Any) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(v) for key, v in value.items()}
    return [_as_json(v) for v in value] if isinstance(value, list | tuple) else value
