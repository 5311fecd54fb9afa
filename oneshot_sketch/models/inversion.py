"""GAN inversion: the W+ of a StyleGAN2 that redraws a picture, and how well it does.

An encoder's guess or the generator's mean w, then steps of Adam on

    a · perceptual(G(w), x) + b · ‖G(w) − x‖² + λ · ‖w − w̄‖²

(Abdal et al. 2019; the last term keeps w where the generator, and what is drawn from its features, is at home). The learning
rate rises and falls as in StyleGAN2's own projector.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Two batches (B, 3, H, W) in [-1, 1] → their distances (B,); differentiable."""

WINDOW = 1 / 32  # deviation of the error map's Gaussian, as a share of the picture's side


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How a picture is inverted.

    Attributes:
        steps: of the optimisation, at most; 0 leaves the encoder's guess as it is.
        lr: Adam's largest rate.
        warm_up, ramp_down: shares of the steps in which the rate rises from 0 (linear) and falls to 0 (cosine).
        perceptual_weight, l2_weight: a and b; distances are means over pixels and channels.
        mean_weight: λ; the distance is a mean over the numbers of w.
        held_to: what the last term measures from: the generator's "mean" w, or the "start", an encoder's guess.
        compared_at: largest side at which pictures are compared; larger ones are averaged down.
        patience: a picture whose loss has not fallen by `improvement` of itself for so many steps is done.
        improvement: see there.
        batch_size: pictures computed at a time. A batch that is not full is filled up, so that neither neighbours nor the
            number of pictures change a result.

    Raises:
        InputError: a value out of range.
    """

    steps: int = 100
    lr: float = 0.1
    warm_up: float = 0.05
    ramp_down: float = 0.25
    perceptual_weight: float = 1.0
    l2_weight: float = 1.0
    mean_weight: float = 0.1
    held_to: Literal["mean", "start"] = "mean"
    compared_at: int = 256
    patience: int = 25
    improvement: float = 0.002
    batch_size: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "warm_up", "ramp_down", "perceptual_weight", "l2_weight", "mean_weight", "improvement"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(f"the inversion's {name} is {value}; it must be finite and not negative.")
        for name in ("compared_at", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"the inversion's {name} is {getattr(self, name)}; it must be at least 1.")
        if not 0 < self.lr < math.inf:
            raise InputError(f"the inversion's lr is {self.lr}; it must be finite and above 0.")
        if self.held_to not in ("mean", "start"):
            raise InputError(f"the inversion's held_to is {self.held_to!r}; choose mean or start.")
        if self.warm_up + self.ramp_down > 1:
            raise InputError("the inversion's warm_up and ramp_down are shares of its steps; together they may be 1 at most.")

    def rate(self, step: int) -> float:
        """Of the optimisation's `step`, counted from 0."""
        done = (step + 1) / (self.steps + 1)
        rise = min(1.0, done / self.warm_up) if self.warm_up else 1.0
        fall = min(1.0, (1 - done) / self.ramp_down) if self.ramp_down else 1.0
        return self.lr * rise * (0.5 - 0.5 * math.cos(math.pi * fall))


@dataclass(frozen=True)
class Inversion:
    """Pictures as a generator redraws them.

    Attributes:
        ws: (B, num_ws, w_dim) float32.
        image: (B, 3, H, W) float32 in [-1, 1], at the generator's resolution.
        error: (B,) float32: root of the mean squared difference to the picture over pixels and channels, as a share of the
            range from black to white, so in [0, 1].
        error_map: (B, 1, H, W) float32 in [0, 1], the same around every pixel, under a Gaussian window.
        steps: (B,) int64, steps of the optimisation until each was done.
    """

    ws: Tensor
    image: Tensor
    error: Tensor
    error_map: Tensor
    steps: Tensor


Invert = Callable[[StyleGAN2Generator, Tensor], Inversion]
"""`invert`, or it with an encoder and settings bound: a generator and aligned pictures (B, 3, side, side) in [-1, 1]."""


@torch.inference_mode(False)
def invert(
    generator: StyleGAN2Generator,
    images: Tensor,
    encoder: nn.Module | None = None,
    *,
    config: InversionConfig | None = None,
    perceptual: Perceptual | None = None,
    progress: bool = False,
) -> Inversion:
    """Find the ws that redraw pictures.

    No draw is random: the same pictures give the same bytes on the same machine.

    Args:
        generator: its weights receive no gradient; noise is constant.
        images: (B, 3, h, w) float in [-1, 1], square, aligned as the generator's own; resized to its resolution.
        encoder: pictures → ws (B, num_ws, w_dim), where the optimisation starts; None starts from `generator.w_avg`.
        perceptual: None takes `laplacian_distance`, which needs no weights.
        progress: show a bar.

    Raises:
        InputError: pictures of another shape, or values that are not finite.
    """
    config = config or InversionConfig()
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise InputError(f"pictures to invert must be (B, 3, side, side), not {tuple(images.shape)}; align and crop them first.")
    if not images.isfinite().all():
        raise InputError("the pictures to invert hold NaN or infinite values; clean them first.")
    images = images.detach().to(generator.w_avg.device, torch.float32, copy=True)  # none of an outer inference_mode
    side = generator.config["resolution"]
    targets, parts = resized(images, side), []
    rounds = math.ceil(len(images) / config.batch_size)
    with tqdm(total=rounds * config.steps, desc="inversion", disable=not progress, leave=False) as bar:
        for first in range(0, len(images), config.batch_size):
            chunk = [filled(x[first : first + config.batch_size], config.batch_size) for x in (images, targets)]
            with torch.no_grad():
                ws = _start(generator, chunk[0], encoder)
            ws, steps = _optimise(generator, ws, chunk[1], config, perceptual or laplacian_distance, bar)
            with torch.no_grad():
                image = generator.synthesize(ws.to(generator.dtype)).image.float().clamp(-1, 1)
            parts.append((ws, image, *reconstruction_error(image, chunk[1]), steps))
    count = len(images)
    ws, image, error, error_map, steps = (torch.cat(part)[:count] for part in zip(*parts, strict=True))
    return Inversion(ws, image, error, error_map, steps)


def reconstruction_error(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The `error` (B,) and `error_map` (B, 1, H, W) of an `Inversion`, of two batches (B, 3, H, W) in [-1, 1]."""
    squared = ((image - target) / 2).square().mean(1, keepdim=True)
    return squared.mean((1, 2, 3)).sqrt(), _local_mean(squared).clamp_min(0).sqrt()


def resized(images: Tensor, side: int) -> Tensor:
    """Square pictures (B, C, s, s) → (B, C, side, side)."""
    return images if images.shape[-1] == side else F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def filled(x: Tensor, count: int) -> Tensor:
    """A batch that its last row is repeated to fill until there are `count`."""
    return x if len(x) == count else torch.cat([x, x[-1:].expand(count - len(x), *x.shape[1:])])


def laplacian_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two pictures' Laplacian pyramids, averaged over its levels.

    The weight-free stand-in for a learned distance (the Lap1 loss of Bojanowski et al. 2018, all levels weighted alike): edges
    at every scale count as much as flat tone does. The pyramid ends above 8 pixels a side.

    Args:
        a, b: (B, C, H, W) float.

    Returns:
        (B,) at least 0, 0 for equal pictures.
    """
    rest, levels = a - b, []  # the pyramid is linear
    while min(rest.shape[-2:]) >= 16:
        smaller = F.avg_pool2d(rest, 2)
        levels.append(rest - F.interpolate(smaller, rest.shape[-2:], mode="bilinear"))
        rest = smaller
    return torch.stack([level.abs().mean((1, 2, 3)) for level in [*levels, rest]]).mean(0)


def _start(generator: StyleGAN2Generator, images: Tensor, encoder: nn.Module | None) -> Tensor:
    shape = (len(images), generator.num_ws, generator.config["w_dim"])
    if encoder is None:
        return generator.w_avg.float().expand(shape).clone()
    ws = encoder(images.to(next(encoder.parameters()).dtype)).float()
    if ws.shape != shape:
        raise InputError(f"the encoder gives ws {tuple(ws.shape)[1:]}, the generator reads {shape[1:]}; use its own encoder.")
    return ws


def _optimise(
    generator: StyleGAN2Generator, ws: Tensor, targets: Tensor, config: InversionConfig, perceptual: Perceptual, bar: tqdm
) -> tuple[Tensor, Tensor]:
    """The best ws seen (B, num_ws, w_dim) and the steps each picture took (B,).

    A picture that is done goes on being computed beside the others, since kernels round as the shape of the batch has it.
    """
    anchor = ws.detach().clone() if config.held_to == "start" else generator.w_avg.float()
    small = _averaged(targets, config.compared_at)
    ws = ws.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([ws], config.lr)
    best, lowest = ws.detach().clone(), torch.full((len(ws),), math.inf, device=ws.device)
    reference, since = lowest.clone(), torch.zeros(len(ws), dtype=torch.int64, device=ws.device)
    running = torch.ones(len(ws), dtype=torch.bool, device=ws.device)
    taken = torch.zeros_like(since)
    for step in range(config.steps + 1):  # the last only judges
        with torch.enable_grad():
            image = _averaged(generator.synthesize(ws.to(generator.dtype)).image.float(), config.compared_at)
            distance = perceptual(image.clamp(-1, 1), small)
            if distance.shape != (len(ws),):
                raise ValueError(f"perceptual gives {tuple(distance.shape)} for {len(ws)} pictures; it must give one each.")
            loss = config.perceptual_weight * distance
            loss = loss + config.l2_weight * (image - small).square().mean((1, 2, 3))
            loss = loss + config.mean_weight * (ws - anchor).square().mean((1, 2))
            slope = torch.autograd.grad(loss.sum(), ws)[0] if step < config.steps else None
        loss = loss.detach()
        better = running & (loss < lowest)
        best[better], lowest[better] = ws.detach()[better], loss[better]
        fallen = loss < reference * (1 - config.improvement)
        reference = torch.where(fallen, loss, reference)
        since = torch.where(fallen, 0, since + 1)
        running = running & (since < config.patience)
        if slope is None or not running.any():
            break
        taken += running
        ws.grad = slope
        adam.param_groups[0]["lr"] = config.rate(step)
        adam.step()
        bar.update()
        bar.set_postfix(loss=f"{lowest.mean().item():.4f}", refresh=False)
    bar.update(config.steps - int(taken.max()))
    return best, taken


def _averaged(images: Tensor, side: int) -> Tensor:
    factor = images.shape[-1] // min(side, images.shape[-1])
    return images if factor == 1 else F.avg_pool2d(images, factor)


def _local_mean(plane: Tensor) -> Tensor:
    """(B, 1, H, W) under a Gaussian window that is cut off, and weighted up again, at the border."""
    side = plane.shape[-1]
    reach = max(1, round(3 * WINDOW * side))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(plane) / (WINDOW * side)) ** 2)

    def passed(x: Tensor) -> Tensor:
        x = F.conv2d(x, taps.view(1, 1, 1, -1), padding=(0, reach))
        return F.conv2d(x, taps.view(1, 1, -1, 1), padding=(reach, 0))

    return passed(plane) / passed(torch.ones_like(plane[:1]))
