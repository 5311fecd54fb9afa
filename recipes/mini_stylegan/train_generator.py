"""Aligned faces → the embedded StyleGAN2 (step 2).

    python recipes/mini_stylegan/train_generator.py --run runs/mini_stylegan --weights ../shared/data/weights --minutes 60

A generator that only ever meets a discriminator needs millions of pictures. Here it is the decoder of a variational
autoencoder: what it draws must be a photo again (L1 and LPIPS over SqueezeNet), from z's posterior with or without
offsets in W+. With `--critics-from N` it also draws from z ~ N(0, I) from step N on, and critics judge both; where
thousands of pictures a second can be drawn, that sharpens it. Every draw is a function of the step, so a stopped run
goes on to the same weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from critics import Critics, disturbed, perceptual
from PIL import Image
from portrait_encoder import PortraitEncoder
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from oneshot_sketch.metrics.lpips_caffe import SqueezeLpips
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

Z_DIM, W_DIM, LAYERS = 128, 256, 4
BATCH, RATE, ENCODER_RATE, MAPS_RATE, CRITICS_RATE = 16, 1e-2, 1e-3, 5e-2, 1.5e-3
KL, OFFSETS, ADVERSARIAL, R1, R1_EVERY = 2e-4, 0.002, 0.06, 2.0, 16
SAVE_EVERY, LOG_EVERY = 200, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with train.npy and held_out.npy")
    parser.add_argument("--weights", type=Path, required=True, help="folder with squeezenet1_1/ and lpips/")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8_000, help="where the learning rates end their fall")
    parser.add_argument("--critics-from", type=int, help="the step at which critics join (default: never)")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    critics_from = args.steps if args.critics_from is None else args.critics_from
    training = Training(args.run, args.weights, args.side, args.bf16, args.steps, critics_from)
    training.resume()
    start = time.monotonic()
    bar = tqdm(desc="generator", initial=training.step, total=args.steps, mininterval=20)
    while training.step < args.steps and time.monotonic() - start < 60 * args.minutes:
        losses = training.advance()
        bar.update()
        if training.step % LOG_EVERY == 0:
            with (args.run / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": training.step, "seconds": round(time.monotonic() - start), **losses}) + "\n")
        if training.step % SAVE_EVERY == 0 or training.step == args.steps:
            training.save()
            training.show()


class Training:
    def __init__(self, run: Path, weights: Path, side: int, bf16: bool, steps: int, critics_from: int) -> None:
        torch.manual_seed(0)
        self.run, self.side, self.bf16, self.step = run, side, bf16, 0
        self.steps, self.critics_from = steps, critics_from
        self.faces, self.unseen = (np.load(run / f"{name}.npy", mmap_mode="r") for name in ("train", "held_out"))
        self.lpips, self.generator = squeeze_lpips(weights), new_generator(side)
        self.encoder = PortraitEncoder(side, Z_DIM, self.generator.num_ws, W_DIM)
        self.critics = Critics(self.lpips, side)
        for net in (self.generator, self.encoder, self.critics, self.lpips):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averages = copy.deepcopy(nn.ModuleList([self.generator, self.encoder])).eval().requires_grad_(False)
        judging = [p for p in self.critics.parameters() if p.requires_grad]
        parts = [
            {"params": list(self.generator.parameters()), "lr": RATE},
            {"params": list(self.encoder.parameters()), "lr": ENCODER_RATE},
        ]
        self.by_drawing = torch.optim.Adam(parts, betas=(0.9, 0.99), fused=True)
        self.by_maps = torch.optim.Adam([map.requires_grad_() for map in maps_of(self.generator)], MAPS_RATE, betas=(0.9, 0.99))
        self.by_critics = torch.optim.Adam(judging, CRITICS_RATE, betas=(0.0, 0.99), fused=True)

    def batch(self) -> Tensor:
        draw = np.random.default_rng([0, self.step])
        chosen = draw.integers(0, len(self.faces), BATCH)
        photos = to_tensor(self.faces[np.sort(chosen)], self.side)
        mirrored = torch.from_numpy(draw.random(BATCH) < 0.5).view(-1, 1, 1, 1)
        return torch.where(mirrored, photos.flip(3), photos)

    def advance(self) -> dict[str, float]:
        """One step of generator and encoder and, once photos are roughly redrawn, one of the critics; losses by name."""
        self.pace()
        draw = torch.Generator().manual_seed(self.step)
        photos = self.batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            redrawn, kl, offsets = self.redraw(photos, draw)
            # SqueezeNet strides from its first layer on: always at one place, it would let a fixed pattern pass
            top, left = torch.randint(8, (2,), generator=draw).tolist()
            likeness = perceptual(self.lpips, redrawn[..., top:, left:].float(), photos[..., top:, left:])
        close = (redrawn.float() - photos).abs().mean()
        loss = likeness + close + KL * kl + OFFSETS * offsets
        losses = {"lpips": likeness, "l1": close, "kl": kl, "offsets": offsets}
        if self.step >= self.critics_from:
            fakes = torch.cat([self.imagine(draw), redrawn[: BATCH // 2].float()])
            losses |= (deceiving := self.deceive(fakes, draw))
            loss = loss + ADVERSARIAL * sum(deceiving.values())
        for optimiser in (self.by_drawing, self.by_maps):
            optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        for optimiser in (self.by_drawing, self.by_maps):
            _clean(optimiser)
            optimiser.step()
        if self.step >= self.critics_from:
            losses |= self.judge(photos, fakes.detach(), draw)
        self.average()
        self.step += 1
        return {name: round(float(value), 4) for name, value in losses.items()}

    def pace(self) -> None:
        """Rates fall by a cosine to a twentieth; with critics, the generator goes slower and with less momentum."""
        calm = self.step >= self.critics_from
        share = 0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))
        drawing, encoding = self.by_drawing.param_groups
        drawing.update(lr=share * RATE * (0.4 if calm else 1.0), betas=(0.5 if calm else 0.9, 0.99))
        encoding.update(lr=share * ENCODER_RATE)
        self.by_maps.param_groups[0].update(lr=share * MAPS_RATE)

    def imagine(self, draw: torch.Generator) -> Tensor:
        """Faces from z ~ N(0, I)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            ws = self.mixed(torch.randn(BATCH // 2, Z_DIM, generator=draw), draw)
            return self.generator.synthesize(ws).image.float()

    def deceive(self, fakes: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        """What the critics think of fakes, as losses of who drew them."""
        self.critics.requires_grad_(False)
        seen = disturbed(fakes, draw)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            heads = -torch.stack([verdict.float().mean() for verdict in self.critics.projected(seen)]).mean()
            pixels = F.softplus(-self.critics.pixels(seen).float()).mean()
        return {"heads": heads, "pixels": pixels}

    def redraw(self, photos: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Photos through the bottleneck; half of them without offsets."""
        mean, log_variance, offsets = self.encoder(photos.to(memory_format=torch.channels_last))
        mean, log_variance, offsets = mean.float(), log_variance.float(), offsets.float()
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=draw)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        kept = (torch.arange(len(photos)) % 2 == 0).view(-1, 1, 1)
        ws = self.generator.map(z) + offsets * kept
        return self.generator.synthesize(ws).image, kl, offsets[::2].square().mean()

    def mixed(self, z: Tensor, draw: torch.Generator) -> Tensor:
        """ws of z; a third of them change to another's from some layer on (style mixing)."""
        ws = self.generator.map(z).float()
        self.generator.mapping.w_avg.lerp_(ws[:, 0].detach().mean(0), 0.005)
        change = torch.randint(1, self.generator.num_ws, (len(z), 1, 1), generator=draw)
        change = torch.where(torch.rand(len(z), 1, 1, generator=draw) < 1 / 3, change, self.generator.num_ws)
        return torch.where(torch.arange(self.generator.num_ws).view(1, -1, 1) < change, ws, ws.roll(1, 0))

    def judge(self, photos: Tensor, fakes: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        """One step of the critics: hinge for the projected heads, logistic with lazy R1 for the pixels."""
        self.critics.requires_grad_(True)
        self.critics.mixers.requires_grad_(False)
        real, fake = disturbed(photos, draw), disturbed(fakes, draw)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            on_real, on_fake = self.critics.projected(real), self.critics.projected(fake)
            heads = torch.stack(
                [F.relu(1 - a.float()).mean() + F.relu(1 + b.float()).mean() for a, b in zip(on_real, on_fake, strict=True)]
            ).mean()
            good, bad = self.critics.pixels(real).float(), self.critics.pixels(fake).float()
        pixels = F.softplus(-good).mean() + F.softplus(bad).mean()
        loss = heads + pixels
        if self.step % R1_EVERY == 0:
            leaf = real.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.critics.pixels(leaf).sum(), leaf, create_graph=True)
            loss = loss + R1 / 2 * R1_EVERY * slope.square().sum((1, 2, 3)).mean()
        self.by_critics.zero_grad()
        loss.backward()
        _clean(self.by_critics)
        self.by_critics.step()
        return {"critic_heads": heads, "critic_pixels": pixels}

    @torch.no_grad()
    def average(self) -> None:
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        for mean, net in zip(self.averages, (self.generator, self.encoder), strict=True):
            for a, b in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
                a.lerp_(b, 1 - decay)

    def state(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "encoder": self.encoder, "critics": self.critics, "averages": self.averages}
        optimisers = {name: getattr(self, name) for name in ("by_drawing", "by_maps", "by_critics")}
        return {"step": self.step, **{name: part.state_dict() for name, part in (parts | optimisers).items()}}

    def save(self) -> None:
        torch.save(self.state(), self.run / "state.tmp")
        (self.run / "state.tmp").replace(self.run / f"state_{self.side}.pt")

    def resume(self) -> None:
        if not (path := self.run / f"state_{self.side}.pt").exists():
            return
        state = torch.load(path, weights_only=True)
        self.step = state.pop("step")
        for name, value in state.items():
            getattr(self, name).load_state_dict(value)

    @torch.no_grad()
    def show(self) -> None:
        """Held-out photos, as redrawn without and with offsets, and eight imagined faces twice, as samples.png."""
        generator, encoder = self.averages
        photos = to_tensor(self.unseen[:8], self.side)
        mean, _, offsets = encoder(photos)
        rows = [photos, *(generator.synthesize(generator.map(mean) + part * offsets).image for part in (0, 1))]
        z = torch.randn(16, Z_DIM, generator=torch.Generator().manual_seed(0))
        rows += generator.synthesize(generator.map(z, 0.8)).image.split(8)
        sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
        pixels = (sheet.clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).resize((pixels.shape[1] * 2, pixels.shape[0] * 2)).save(self.run / "samples.png")
        error = self.lpips(rows[2].clamp(-1, 1), photos).mean()
        print(f"step {self.step}: LPIPS of eight held-out photos redrawn {error:.3f}", flush=True)


def new_generator(side: int) -> StyleGAN2Generator:
    """Its constant noise is learned like a weight, one map a layer: what redraws photos would take random noise for dirt."""
    generator = StyleGAN2Generator(side, Z_DIM, W_DIM, LAYERS, channel_base=48 * 64, channel_max=160)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(parameter.requires_grad_(False), 0.5)
    for map in maps_of(generator):
        map.zero_()
    return generator


def maps_of(generator: StyleGAN2Generator) -> list[Tensor]:
    return [buffer for name, buffer in generator.named_buffers() if name.endswith("noise_const")]


def squeeze_lpips(weights: Path) -> SqueezeLpips:
    return SqueezeLpips.from_files(next((weights / "squeezenet1_1").glob("*.pt*")), next((weights / "lpips").glob("*.pt*")))


def to_tensor(pixels: np.ndarray, side: int) -> Tensor:
    """(N, 128, 128, 3) uint8 → (N, 3, side, side) float32 in [-1, 1], means of squares."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.avg_pool2d(images, images.shape[-1] // side)


def _clean(optimiser: torch.optim.Optimizer) -> None:
    """A step with a gradient that is not finite is skipped, as in NVIDIA's training."""
    for group in optimiser.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                torch.nan_to_num(p.grad, 0.0, 1e4, -1e4, out=p.grad)


if __name__ == "__main__":
    main()
