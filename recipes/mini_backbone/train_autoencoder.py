"""Shards → the patch autoencoder (step 3 of the embedded backbone): components by algebra, decoder in minutes.

    python recipes/mini_backbone/train_autoencoder.py --run runs/mini --minutes 4

Run again, the decoder trains on and the components stay. The components keep a third of a patch's directions; with --lpips the
decoder learns to fill in strokes that look right for the rest, instead of their mean.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from triples import to_tensor

from oneshot_sketch.metrics.lpips_caffe import SqueezeLpips
from oneshot_sketch.models.patch_autoencoder import PatchAutoencoder

BATCH, NOISE, HELD_OUT = 32, 0.3, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with triples/")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--lpips", type=Path, nargs=2, metavar=("NET", "HEADS"), help="SqueezeNet and LPIPS heads")
    parser.add_argument("--bf16", action="store_true", help="autocast, where the processor multiplies bf16 fast")
    args = parser.parse_args()
    torch.manual_seed(0)

    shards = [
        (np.load(path.with_name(path.name.replace("drawings", "photos")), mmap_mode="r"), np.load(path, mmap_mode="r"))
        for path in sorted((args.run / "triples").glob("*.drawings.npy"))
    ]
    photos, drawings = shards[0]
    distance = None if args.lpips is None else SqueezeLpips.from_files(*args.lpips)
    if (args.run / "vae").is_dir():
        model = PatchAutoencoder.from_pretrained(args.run / "vae")
    else:
        model = PatchAutoencoder()
        share = model.fit_components(torch.cat([_drawings(drawings[:1500]), to_tensor(np.asarray(photos[:500]))]))
        print(f"{len(share)} components keep {share.sum():.4f} of the luma variance")

    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.analysis.requires_grad_(False)
    model.synthesis.requires_grad_(False)
    optimiser = torch.optim.AdamW(model.refine.parameters(), lr=args.rate, betas=(0.9, 0.98), fused=True)
    start, bar = time.monotonic(), tqdm(desc="decoder")
    while (done := (time.monotonic() - start) / (60 * args.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1, (bar.n + 1) / 50) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))
        rng = np.random.default_rng(bar.n)
        photos, drawings = shards[rng.integers(len(shards))]
        i = rng.integers(0, len(drawings) - HELD_OUT, BATCH)
        target = torch.cat([_drawings(drawings[i[8:]]), _luma(to_tensor(photos[i[:8]]))])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = _loss(model, target, distance)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.refine.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        bar.update()
        if bar.n % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}")
    with torch.no_grad():
        print(f"held-out loss {_loss(model, _drawings(shards[0][1][-HELD_OUT:]), distance):.4f} after {bar.n} steps")
    model.save_pretrained(args.run / "vae")


def _drawings(images: np.ndarray) -> torch.Tensor:
    return to_tensor(np.asarray(images)).expand(-1, 3, -1, -1)


def _luma(photos: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (photos * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def _loss(model: PatchAutoencoder, target: torch.Tensor, distance: SqueezeLpips | None) -> torch.Tensor:
    """L1, half the L1 of gradients, and LPIPS; noise on the latents makes the decoder forgive the sampler's errors."""
    with torch.no_grad():
        z = model.analysis(target)
        z = z + NOISE * torch.rand(len(z), 1, 1, 1) * torch.randn_like(z)
    drawn = model.decode(z.contiguous(memory_format=torch.channels_last)).sample
    error = drawn[:, :1].float() - target[:, :1]
    across, down = error.diff(dim=-1), error.diff(dim=-2)
    loss = error.abs().mean() + 0.5 * (across.abs().mean() + down.abs().mean())
    return loss if distance is None else loss + distance(drawn.float().clamp(-1, 1), target).mean()


if __name__ == "__main__":
    main()
