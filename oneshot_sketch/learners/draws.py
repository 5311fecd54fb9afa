"""Which timesteps and which noise: every draw a function of (seed, step), so a run resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oneshot_sketch.learners.config import InstructionLearnerConfig


@dataclass(frozen=True)
class Draws:
    """A minibatch: view (B,) int64, timestep (B,) int64, noise (B, C, h, w) float32."""

    view: Tensor
    t: Tensor
    noise: Tensor


def draw(config: InstructionLearnerConfig, step: int, views: int, num_timesteps: int, shape: tuple[int, ...]) -> Draws:
    """The draws of one step, on the CPU whatever the device, so that they are the same everywhere."""
    count = config.draws
    fresh = generator(config.seed, 1 + step)
    view = torch.randint(views, (count,), generator=fresh)
    if config.timesteps == "stratified":
        t = (torch.arange(count) + torch.rand(count, generator=fresh)) / count * num_timesteps
        t = t.long().clamp(max=num_timesteps - 1)
    elif config.timesteps == "uniform":
        t = torch.randint(num_timesteps, (count,), generator=fresh)
    else:
        t = torch.tensor(in_passes(config.seed, range(step * count, (step + 1) * count), num_timesteps))
    if config.fixed_noise:
        noise = torch.stack([torch.randn(shape, generator=generator(config.seed, 1_000_000 + int(i))) for i in t])
    else:
        noise = torch.randn((count, *shape), generator=fresh)
    return Draws(view, t, noise)


def draw_pictures(config: InstructionLearnerConfig, step: int, views: int, num_timesteps: int, shape: tuple[int, ...]) -> Draws:
    """The `config.drawings` of one step: all at the last timestep, where one step draws a picture."""
    fresh = generator(config.seed, 2_000_000 + step)
    view = torch.randint(views, (config.drawings,), generator=fresh)
    t = torch.full((config.drawings,), num_timesteps - 1)
    return Draws(view, t, torch.randn((config.drawings, *shape), generator=fresh))


def fixed_grid(config: InstructionLearnerConfig, num_timesteps: int, shape: tuple[int, ...], views: int) -> Draws:
    """`config.grid` timesteps spread over the schedule, with noise, always the same."""
    count = config.grid
    t = ((torch.arange(count) + 0.5) / count * num_timesteps).long()
    noise = torch.randn((count, *shape), generator=generator(config.seed, 0))
    return Draws(torch.arange(count) % views, t, noise)


def in_passes(seed: int, places: range, count: int) -> list[int]:
    """Which of `count` things stand at these places of an endless row: passes through all, each in an order of its own."""
    passes = sorted({place // count for place in places})
    orders = {p: torch.randperm(count, generator=generator(seed, -1 - p)).tolist() for p in passes}
    return [orders[place // count][place % count] for place in places]


def generator(seed: int, stream: int) -> torch.Generator:
    """On the CPU, the same for the same two numbers."""
    return torch.Generator().manual_seed((seed * 1_000_003 + stream) % 2**63)
