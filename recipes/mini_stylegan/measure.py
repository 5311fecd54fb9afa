"""How good the embedded StyleGAN2, its encoder and its inversions are: numbers as JSON, pictures beside them.

    python recipes/mini_stylegan/measure.py --run runs/mini_stylegan --weights ../shared/data/weights --output measured

The Fréchet distance is over the mean of SqueezeNet 1.1's last features (Caffe weights), which is not Inception's; a second
set of real photos says how low it can be.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from train_encoder import still
from train_generator import squeeze_lpips

from oneshot_sketch.images import to_pil
from oneshot_sketch.metrics import frechet_distance
from oneshot_sketch.models.inversion import InversionConfig, invert
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

INVERTED = 48


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with generator/, encoder/, train.npy, held_out.npy")
    parser.add_argument("--weights", type=Path, required=True, help="folder with squeezenet1_1/ and lpips/")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    generator = StyleGAN2Generator.from_pretrained(args.run / "generator").eval().requires_grad_(False)
    encoder = InversionEncoder.from_pretrained(args.run / "encoder").eval().requires_grad_(False)
    side, lpips = generator.config["resolution"], squeeze_lpips(args.weights)
    unseen = still(np.load(args.run / "held_out.npy"), side)
    train = np.load(args.run / "train.npy", mmap_mode="r")
    others = still(train[np.random.default_rng(0).permutation(len(train))[: len(unseen)]], side)
    z = torch.randn(len(unseen), generator.config["z_dim"], generator=torch.Generator().manual_seed(0))

    def features(images: Tensor) -> Tensor:
        x = lpips.prepare(torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear"))
        for layer in lpips.features:
            x = layer(x)
        return x.mean((2, 3))

    real = features(unseen)
    found = {"held-out photos against training photos": frechet_distance(features(others), real)}
    for psi in (1.0, 0.7):
        faces = torch.cat([generator(part, psi).image for part in z.split(50)]).clamp(-1, 1)
        found[f"imagined faces, psi {psi}"] = frechet_distance(features(faces), real)
        sheet(faces[:32], 8, args.output / f"imagined_{psi}.png")

    def redrawn_by(config: InversionConfig, start: InversionEncoder | None) -> tuple[dict[str, float], Tensor]:
        began = time.process_time()
        inversion = invert(generator, unseen[:INVERTED], start, config=config)
        seconds = (time.process_time() - began) / INVERTED
        likeness = lpips(inversion.image, unseen[:INVERTED]).mean()
        found = {"error": float(inversion.error.mean()), "lpips": float(likeness), "cpu_seconds": seconds}
        return {name: round(value, 4) for name, value in found.items()}, inversion.image

    rows, pictures = {}, [unseen[:8]]
    for steps in (0, 25, 50, 100, 200):
        rows[f"encoder, {steps} steps"], images = redrawn_by(InversionConfig(steps=steps, held_to="start"), encoder)
        pictures.append(images[:8])
    for steps in (0, 50, 100):
        rows[f"mean face, {steps} steps"], images = redrawn_by(InversionConfig(steps=steps), None)
    pictures.append(images[:8])
    sheet(torch.cat(pictures), 8, args.output / "inverted.png")
    result = {"frechet": {name: round(value, 2) for name, value in found.items()}, "inversion": rows}
    (args.output / "measured.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def sheet(images: Tensor, columns: int, path: Path) -> None:
    """Twice as large, row by row."""
    rows = [torch.cat(list(row), 2) for row in images.clamp(-1, 1).split(columns)]
    picture = to_pil(torch.cat(rows, 1)[None])[0]
    picture.resize((2 * picture.width, 2 * picture.height)).save(path)


if __name__ == "__main__":
    main()
