"""Guidance written into the instruction: a second, short learning, so that one branch draws what three drew."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from tqdm import tqdm

from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.guidance import two_scale_guidance
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.draws import Draws, draw, fixed_grid


def distil(
    backbone: FrozenInstructPix2Pix,
    rows: Tensor,
    neutral: Tensor,
    ins: tuple[int, int],
    z_photo: Tensor,
    z_sketch: Tensor,
    config: InstructionLearnerConfig,
    progress: bool = True,
) -> tuple[Tensor, dict[str, float]]:
    """Minimise E ‖e(z_t, C', z_p) − e_g(z_t, C, z_p)‖² over rows `ins` of C', e_g being guidance at the backbone's own scales.

    The teacher is the same frozen network with the instruction as it was learned (guidance distillation, Meng et al. 2023,
    with the student's freedom in the prompt instead of the weights). Every draw is a function of (seed, step).

    Args:
        rows, neutral: (L, d) float32, the learned instruction C and the empty prompt.
        z_photo, z_sketch: (V, C, h, w) float32 latents of the views.
        config: its distil_steps, distil_rate, draws, grid, ema_decay and seed.

    Returns:
        C' (L, d), and the error on the fixed grid before and after.
    """
    scales = backbone.drawing["guidance_scale"], backbone.drawing["image_guidance_scale"]
    first, stop = ins
    shape, views = tuple(z_photo.shape[1:]), len(z_photo)
    free = rows[first:stop].clone().requires_grad_()
    average = free.detach().clone()
    optimiser = torch.optim.AdamW([free], weight_decay=0.0)

    def error(free: Tensor, draws: Draws) -> Tensor:
        t, z_p, count = draws.t.to(backbone.device), z_photo[draws.view], len(draws.t)
        z_t = backbone.add_noise(z_sketch[draws.view], draws.noise.to(backbone.device), t)
        with torch.no_grad():
            full = backbone.predict(z_t, t, rows.expand(count, -1, -1), z_p)
            photo = backbone.predict(z_t, t, neutral.expand(count, -1, -1), z_p)
            nothing = backbone.predict(z_t, t, neutral.expand(count, -1, -1), torch.zeros_like(z_p))
            guided = two_scale_guidance(full, photo, nothing, *scales)
        student = torch.cat([rows[:first], free, rows[stop:]])
        return (backbone.predict(z_t, t, student.expand(count, -1, -1), z_p) - guided).square().mean()

    grid = fixed_grid(config, backbone.num_timesteps, shape, views)
    with torch.no_grad():
        before = error(free, grid).item()
    for step in tqdm(range(config.distil_steps), desc="distilling", unit="step", disable=not progress):
        warm = min(1.0, (step + 1) / max(1, config.warmup))
        cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / config.distil_steps))
        optimiser.param_groups[0]["lr"] = config.distil_rate * warm * cosine
        optimiser.zero_grad()
        error(free, draw(config, config.steps + step, views, backbone.num_timesteps, shape)).backward()
        optimiser.step()
        average.lerp_(free.detach(), 1 - min(config.ema_decay, (step + 1) / (step + 11)))
    with torch.no_grad():
        after = error(average, grid).item()
    return torch.cat([rows[:first], average, rows[stop:]]), {"distillation at the start": before, "distillation kept": after}
