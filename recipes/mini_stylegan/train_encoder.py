"""The trained generator → the encoder that inverts it (step 3).

    python recipes/mini_stylegan/train_encoder.py --run runs/mini_stylegan --weights ../shared/data/weights

First it learns what is known without drawing anything: the ws that the encoder beside the generator gave for photos, and
the true ws of imagined faces. Then what it gives must redraw photos (L1 and LPIPS over SqueezeNet) as well. Photos are
moved, turned and lit a little, as crops by a face finder are. Writes generator/ and encoder/ into the run's folder.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
from critics import perceptual
from portrait_encoder import PortraitEncoder
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from train_generator import Z_DIM, new_generator, squeeze_lpips

from oneshot_sketch.atomic import replacing, replacing_folder
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

BATCH, IMAGINED, RATE, W_WEIGHT, JUDGED = 16, 4, 1e-3, 0.05, 100
SAVE_EVERY = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with train.npy, held_out.npy and the generator's state")
    parser.add_argument("--weights", type=Path, required=True, help="folder with squeezenet1_1/ and lpips/")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--known-steps", type=int, default=2000, help="steps on known ws alone")
    parser.add_argument("--steps", type=int, default=5000, help="all steps")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    generator, portraits = trained(args.run, args.side)
    with replacing_folder(args.run / "generator") as part:
        generator.save_pretrained(part)
    training = Training(args.run, generator, portraits, squeeze_lpips(args.weights), args.steps, args.known_steps, args.bf16)
    training.resume()
    bar = tqdm(desc="encoder", initial=training.step, total=args.steps, mininterval=20)
    while training.step < args.steps:
        losses = training.advance()
        bar.update()
        if training.step % SAVE_EVERY == 0 or training.step == args.steps:
            training.save()
            lines = {"step": training.step, **losses, **training.judged()}
            with (args.run / "encoder.jsonl").open("a") as log:
                log.write(json.dumps(lines) + "\n")
    with replacing_folder(args.run / "encoder") as part:
        training.average.save_pretrained(part)
    print(f"generator and encoder in {args.run}")


@torch.no_grad()
def trained(run: Path, side: int) -> tuple[StyleGAN2Generator, PortraitEncoder]:
    """The averaged generator, with its mean w, and the encoder it was trained with; both frozen."""
    state = torch.load(run / f"state_{side}.pt", weights_only=True)["averages"]
    generator = new_generator(side)
    portraits = PortraitEncoder(side, Z_DIM, generator.num_ws, generator.config["w_dim"])
    for index, network in enumerate((generator, portraits)):
        network.load_state_dict({name[2:]: value for name, value in state.items() if name.startswith(f"{index}.")})
        network.eval().requires_grad_(False)
    z = torch.randn(10_000, Z_DIM, generator=torch.Generator().manual_seed(0))
    generator.w_avg.copy_(generator.map(z)[:, 0].mean(0))
    return generator, portraits


class Training:
    def __init__(
        self,
        run: Path,
        generator: StyleGAN2Generator,
        portraits: PortraitEncoder,
        lpips: nn.Module,
        steps: int,
        known_steps: int,
        bf16: bool,
    ) -> None:
        torch.manual_seed(0)
        self.run, self.steps, self.known_steps, self.bf16, self.step = run, steps, known_steps, bf16, 0
        self.generator, self.portraits, self.lpips = generator, portraits, lpips
        self.faces, self.unseen = (np.load(run / f"{name}.npy", mmap_mode="r") for name in ("train", "held_out"))
        self.encoder = InversionEncoder.small_for(generator, hidden=384)
        for network in (self.encoder, self.generator, self.portraits, self.lpips):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.encoder).eval().requires_grad_(False)
        self.adam = torch.optim.AdamW(self.encoder.parameters(), RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)

    def advance(self) -> dict[str, float]:
        """One step; its losses by name."""
        draw = torch.Generator().manual_seed(self.step)
        photos, ws = self.batch(draw)
        done = self.step / self.steps
        self.adam.param_groups[0]["lr"] = RATE * min(1.0, (self.step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * done))
        self.encoder.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            found = self.encoder(photos).float()
        apart = (found - ws).square().mean()
        losses, loss = {"ws": apart}, apart
        if self.step >= self.known_steps:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                redrawn = self.generator.synthesize(found).image
                top, left = torch.randint(8, (2,), generator=draw).tolist()
                likeness = perceptual(self.lpips, redrawn[..., top:, left:].float(), photos[..., top:, left:])
            close = (redrawn.float() - photos).abs().mean()
            losses |= {"lpips": likeness, "l1": close}
            loss = likeness + close + W_WEIGHT * apart
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.adam.step()
        self.follow()
        self.step += 1
        return {name: round(float(value.detach()), 4) for name, value in losses.items()}

    @torch.no_grad()
    def batch(self, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures (BATCH, 3, side, side) and their ws as far as they are known; the last IMAGINED are the generator's own."""
        chosen = np.sort(np.random.default_rng([1, self.step]).integers(0, len(self.faces), BATCH - IMAGINED))
        photos = moved(self.faces[chosen], self.generator.config["resolution"], draw)
        z = torch.randn(IMAGINED, Z_DIM, generator=draw)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            mean, _, offsets = self.portraits(photos)
            known = self.generator.map(mean.float()) + offsets.float()
            imagined = self.generator.map(z).float()
            faces = self.generator.synthesize(imagined).image.float().clamp(-1, 1)
        return torch.cat([photos, faces]), torch.cat([known, imagined])

    @torch.no_grad()
    def follow(self) -> None:
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        for a, b in zip(self.average.state_dict().values(), self.encoder.state_dict().values(), strict=True):
            a.lerp_(b, 1 - decay) if a.is_floating_point() else a.copy_(b)

    @torch.no_grad()
    def judged(self) -> dict[str, float]:
        """Of held-out photos as the averaged encoder redraws them."""
        photos = still(self.unseen[:JUDGED], self.generator.config["resolution"])
        redrawn = self.generator.synthesize(self.average(photos)).image.clamp(-1, 1)
        scores = {"held_out_lpips": self.lpips(redrawn, photos).mean(), "held_out_l1": (redrawn - photos).abs().mean()}
        return {name: round(float(value), 4) for name, value in scores.items()}

    def save(self) -> None:
        parts = {name: getattr(self, name).state_dict() for name in ("encoder", "average", "adam")}
        with replacing(self.run / "encoder_state.pt") as path:
            torch.save({"step": self.step, **parts}, path)

    def resume(self) -> None:
        if (path := self.run / "encoder_state.pt").exists():
            state = torch.load(path, weights_only=True)
            self.step = state.pop("step")
            for name, value in state.items():
                getattr(self, name).load_state_dict(value)


def still(pixels: np.ndarray, side: int) -> Tensor:
    """(N, 128, 128, 3) uint8 → (N, 3, side, side) float32 in [-1, 1]."""
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.avg_pool2d(images, images.shape[-1] // side)


def moved(pixels: np.ndarray, side: int, draw: torch.Generator) -> Tensor:
    """As `still`, each mirrored or not, turned by up to 6°, larger or smaller by 6 %, moved by 3 % and lit differently."""
    images = still(pixels, pixels.shape[1])
    n = len(images)
    turn, grow, across, down = (
        (2 * torch.rand(4, n, generator=draw) - 1) * torch.tensor([[0.1], [0.06], [0.06], [0.06]])
    ).unbind()
    mirror = torch.where(torch.rand(n, generator=draw) < 0.5, -1.0, 1.0)
    cos, sin = (1 + grow) * turn.cos(), (1 + grow) * turn.sin()
    theta = torch.stack([torch.stack([mirror * cos, -sin, across], 1), torch.stack([mirror * sin, cos, down], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain, offset = (torch.rand(2, n, 1, 1, 1, generator=draw) * 2 - 1) * 0.1
    return F.avg_pool2d((images * (1 + gain) + offset).clamp(-1, 1), images.shape[-1] // side)


if __name__ == "__main__":
    main()
