"""Latents and captions → UNet and text encoder of `mini` (step 4 of the embedded backbone).

    python recipes/mini_backbone/train_backbone.py --run runs/mini --minutes 120       # constant rate; stop and rerun
    python recipes/mini_backbone/train_backbone.py --run runs/mini --decay-minutes 25       # from the same state, rate → 0

Warm-up, constant rate, then decay: the state before decay is kept, so that a later edition continues from it. With --lpips the
drawings that are predicted for the noisiest third of the batch are also compared as pictures, which keeps lines sharp that a
mean would blur; few steps of sampling depend on it, and a single one on --one-step. With --larger, half of a step's work is
on lessons of twice the side.
Every batch is a function of (seed, step), so a stopped run resumes to the same weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from edits import paraphrase
from parts import build_scheduler, build_text_encoder, build_tokenizer, build_unet, count
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPTokenizer
from triples import to_tensor

from oneshot_sketch.attributes import ATTRIBUTES, LEVELS
from oneshot_sketch.metrics.lpips_caffe import SqueezeLpips
from oneshot_sketch.models.patch_autoencoder import PatchAutoencoder

BATCH, RATE, WARM_UP, AVERAGE = 24, 6e-4, 100, 0.9995
TIMES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with triples/ and vae/")
    parser.add_argument("--minutes", type=float, default=120, help="time at the constant rate")
    parser.add_argument("--decay-minutes", type=float, help="instead: end with this long a linear decay to zero")
    parser.add_argument("--start", type=Path, help="an earlier edition to begin from where there is no state yet")
    parser.add_argument("--lpips", type=Path, nargs=2, metavar=("NET", "HEADS"), help="SqueezeNet and LPIPS heads")
    parser.add_argument("--lpips-weight", type=float, default=0.7)
    parser.add_argument("--one-step", type=float, default=0.0, help="share of a batch at the last timestep, pure noise")
    parser.add_argument(
        "--min-snr", type=float, help="cap of the signal-to-noise ratio that a draw before the last is weighed by"
    )
    parser.add_argument("--larger", type=Path, help="folder with triples/ of twice the side, to learn from besides")
    parser.add_argument("--seed", type=int, default=0, help="of the batches")
    parser.add_argument("--bf16", action="store_true", help="autocast, where the processor multiplies bf16 fast")
    args = parser.parse_args()

    vae = PatchAutoencoder.from_pretrained(args.run / "vae").eval()
    torch.manual_seed(0)
    if args.start is None:
        tokenizer = build_tokenizer(args.run / "tokenizer")
        parts = build_text_encoder(tokenizer), build_unet(vae.config["latent_channels"])
    else:
        tokenizer = CLIPTokenizer.from_pretrained(args.start / "tokenizer")
        parts = (
            CLIPTextModel.from_pretrained(args.start / "text_encoder", dtype=torch.float32, attn_implementation="eager"),
            UNet2DConditionModel.from_pretrained(args.start / "unet", torch_dtype=torch.float32),
        )
        parts[1].set_attn_processor(AttnProcessor())
    schools = [Lessons(args.run, vae, tokenizer, args.seed, args.one_step, BATCH if args.larger is None else BATCH // 2)]
    if args.larger is not None:  # four times as dear a draw
        schools.append(Lessons(args.larger, vae, tokenizer, args.seed + 1, args.one_step, BATCH // 4))
    look = None if args.lpips is None else Look(vae, SqueezeLpips.from_files(*args.lpips), args.lpips_weight)
    model = Backbone(*parts, args.bf16, look, args.min_snr)
    triples = " + ".join(str(len(lessons)) for lessons in schools)
    print(f"{triples} triples, UNet {count(model.unet)}, text encoder {count(model.text_encoder)}", flush=True)
    state = State(model)
    state.load(args.run / "state.pt")

    minutes = args.decay_minutes or args.minutes
    average = 0.99 if args.decay_minutes else AVERAGE  # while the rate falls, old weights are worse ones
    start, recent = time.monotonic(), []
    bar = tqdm(initial=state.step, unit="step", mininterval=10)
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        rate = RATE * min(1, (state.step + 1) / WARM_UP) * (1 - done if args.decay_minutes else 1)
        loss = state.update([lessons.batch(state.step) for lessons in schools], rate, average)
        recent.append(loss)
        bar.update()
        if state.step % 100 == 0:
            row = {
                "step": state.step,
                "samples": state.step * sum(lessons.size for lessons in schools),
                "rate": rate,
                "loss": float(np.mean(recent)),
                "seconds": time.monotonic() - start,
            }
            with open(args.run / "log.jsonl", "a") as log:
                log.write(json.dumps(row) + "\n")
            bar.set_postfix(loss=f"{row['loss']:.4f}")
            recent = []
        if state.step % 250 == 0 and not args.decay_minutes:
            state.save(args.run / "state.pt")
    if not args.decay_minutes:
        state.save(args.run / "state.pt")
    ended = "decayed" if args.decay_minutes else "constant"
    state.export(args.run / ended, tokenizer)
    print(f"{state.step} steps → {args.run / ended}")


class Look:
    """How far predicted clean latents, decoded, are from drawings: weighted LPIPS and mean absolute error, all frozen."""

    def __init__(self, vae: PatchAutoencoder, distance: SqueezeLpips, weight: float) -> None:
        self.vae, self.distance, self.weight = vae.requires_grad_(False), distance, weight

    def __call__(self, predicted: Tensor, drawings: Tensor) -> Tensor:
        """Latents (N, C, h, w) and drawings (N, 3, 8h, 8w) in [-1, 1]."""
        seen = self.vae.decode(predicted).sample.float()
        return self.weight * (self.distance(seen.clamp(-1, 1), drawings).mean() + (seen - drawings).abs().mean())


class Backbone(nn.Module):
    """The networks that learn, and their loss.

    Args:
        min_snr: γ of the weights min(SNR, γ) / (SNR + 1) of draws before the last timestep (Hang et al. 2023), scaled so that
            their mean over the draws is 1; the last one's weight is 1. None weighs all alike.
    """

    def __init__(
        self,
        text_encoder: CLIPTextModel,
        unet: UNet2DConditionModel,
        bf16: bool,
        look: Look | None = None,
        min_snr: float | None = None,
    ) -> None:
        super().__init__()
        self.bf16, self.look = bf16, look
        self.text_encoder = text_encoder
        self.unet = unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        alphas = build_scheduler().alphas_cumprod.float()
        self.register_buffer("signal", alphas.sqrt(), persistent=False)
        self.register_buffer("sigma", (1 - alphas).sqrt(), persistent=False)
        weight = torch.ones(TIMES)
        if min_snr is not None:
            ratio = alphas / (1 - alphas)
            weight = ratio.clamp(max=min_snr) / (ratio + 1)
            weight /= weight[leaning((torch.arange(10 * TIMES) + 0.5) / (10 * TIMES))].mean()
            weight[-1] = 1
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, z: Tensor, photo: Tensor, ids: Tensor, t: Tensor, noise: Tensor, drawings: Tensor) -> Tensor:
        """Weighted squared error of v = α_t ε − σ_t z (Salimans & Ho 2022), and how ẑ = α_t z_t − σ_t v looks where there are
        drawings: the last ones, times rising along a batch."""
        a, s = (x[t].view(-1, 1, 1, 1) for x in (self.signal, self.sigma))
        noisy = a * z + s * noise
        x = torch.cat([noisy, photo], 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            rows = self.text_encoder(ids).last_hidden_state
            v = self.unet(x, t, rows).sample
        v = v.float()
        loss = ((v - (a * noise - s * z)).pow(2).mean((1, 2, 3)) * self.weight[t]).mean()
        if self.look is None:
            return loss
        with torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return loss + self.look((a * noisy - s * v)[-len(drawings) :], drawings)


def leaning(u: Tensor) -> Tensor:
    """u in [0, 1) → timesteps that lean to the noisy end."""
    return (2 * u / (1 + u) * TIMES).long()


class State:
    """Weights, their moving average, the optimiser and the step: what a run needs to go on."""

    def __init__(self, model: Backbone) -> None:
        self.model, self.step = model, 0
        self.parameters = list(model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    def update(self, batches: list[tuple[Tensor, ...]], rate: float, average: float) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total = 0.0
        for batch in batches:
            loss = self.model(*batch) / len(batches)
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        if self.step % 4 == 0:
            decay = min(average**4, (self.step + 1) / (self.step + 40))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)
        return total

    def save(self, path: Path) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.step = state["average"], state["step"]
        print(f"resumed at step {self.step}")

    def export(self, folder: Path, tokenizer: CLIPTokenizer) -> None:
        """The averaged weights in diffusers layout, float32."""
        current = [p.detach().clone() for p in self.parameters]
        torch._foreach_copy_([p.data for p in self.parameters], self.average)
        self.model.unet.save_pretrained(folder / "unet")
        self.model.text_encoder.save_pretrained(folder / "text_encoder")
        tokenizer.save_pretrained(folder / "tokenizer")
        build_scheduler().save_pretrained(folder / "scheduler")
        torch._foreach_copy_([p.data for p in self.parameters], current)


class Lessons:
    """All triples as half-precision latents in memory; batches by step number."""

    def __init__(
        self, run: Path, vae: PatchAutoencoder, tokenizer: CLIPTokenizer, seed: int, one_step: float = 0.0, size: int = BATCH
    ) -> None:
        self.tokenizer, self.seed, self.size, self.spread = tokenizer, seed, size, round((1 - one_step) * size)
        self.shards: list[np.ndarray] = []  # the drawings as pictures, on disk
        photos, drawings, levels = [], [], []
        self.captions: list[str] = []
        for shard in tqdm(sorted((run / "triples").glob("*.captions.jsonl")), desc="latents"):
            stem = shard.name.split(".")[0]
            rows = [json.loads(line) for line in shard.read_text().splitlines()]
            self.captions += [row["words"] for row in rows]
            levels += [row["levels"] for row in rows]
            photos += _latents(vae, shard.with_name(f"{stem}.photos.npy"))
            drawings += _latents(vae, shard.with_name(f"{stem}.drawings.npy"))
            self.shards.append(np.load(shard.with_name(f"{stem}.drawings.npy"), mmap_mode="r"))
        self.levels = np.array(levels, np.float32)
        self.photos, self.drawings = torch.cat(photos), torch.cat(drawings)

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """(z, photo, ids, t, noise, drawings); text, both and photo are each dropped from 5 % for the guidance branches."""
        rng = np.random.default_rng([self.seed, step])
        generator = torch.Generator().manual_seed(step + 1_000_000 * self.seed)
        i = torch.from_numpy(rng.integers(0, len(self), self.size))
        drop = rng.random(self.size)
        captions = ["" if d < 0.10 else self.caption(rng, j) for d, j in zip(drop, i.tolist(), strict=True)]
        ids = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        photo = self.photos[i].float()
        photo[torch.from_numpy((drop >= 0.05) & (drop < 0.15))] = 0
        z = self.drawings[i].float()
        u = (torch.arange(self.spread) + torch.rand(self.spread, generator=generator)) / self.spread
        t = torch.full((self.size,), TIMES - 1)  # pure noise, from which a single step draws
        t[: self.spread] = leaning(u)
        shard, place = np.divmod(i[-(self.size // 3) :].numpy(), len(self.shards[0]))
        drawings = to_tensor(np.stack([self.shards[s][p] for s, p in zip(shard, place, strict=True)])).expand(-1, 3, -1, -1)
        return z, photo, ids, t, torch.randn(z.shape, generator=generator), drawings

    def caption(self, rng: np.random.Generator, i: int) -> str:
        """Words, measured levels, or both, in part."""
        words, kind = paraphrase(rng, self.captions[i]), rng.random()
        if kind < 0.4:
            return words
        noisy = self.levels[i] + rng.normal(0, 0.25, len(ATTRIBUTES))
        dithered = np.floor(noisy + rng.random(len(ATTRIBUTES))).clip(0, LEVELS - 1).astype(int)
        kept = rng.random(len(ATTRIBUTES)) < rng.uniform(0.3, 1.2)
        levels = " ".join(f"{n} {v}" for n, v, k in zip(ATTRIBUTES, dithered, kept, strict=True) if k)
        return levels if kind > 0.8 else f"{words} {levels}"


@torch.no_grad()
def _latents(vae: PatchAutoencoder, path: Path) -> Iterator[Tensor]:
    images = np.load(path, mmap_mode="r")
    for start in range(0, len(images), 250):
        part = to_tensor(np.asarray(images[start : start + 250])).expand(-1, 3, -1, -1)
        yield vae.encode(part).latents.half()


if __name__ == "__main__":
    main()
