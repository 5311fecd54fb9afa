"""Sixteen FS2K pairs of a seen style, aligned, and their latents (step 4).

    python recipes/mini_stylegan/pairs.py --data ../shared/data --run runs/mini_stylegan

The first sixteen of style 1 by the hash of their name in whose photo YuNet finds one face. The latents are found as the
prior finds those of any photo. Then (step 5) the sketch generator is trained on them:

    python recipes/train_stylesketch.py --stylegan runs/mini_stylegan/generator --pairs runs/mini_stylegan/pairs \\
        --latents runs/mini_stylegan/latents.safetensors --output runs/mini_stylegan/sketch_generator --width 128 \\
        --perceptual squeezenet --perceptual_weights ../shared/data/weights/squeezenet1_1/*.pth --perceptual_caffe \\
        --perceptual_side 64 --discriminator_width 16 --clip oneshot_sketch/mini/clip --clip_weight 10 --steps 900 \\
        --learning_rate 1e-3 --stage_one 0.8 --adversarial_weight 0.2
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from release import SETTINGS
from safetensors.torch import save_file

from oneshot_sketch.data import fs2k
from oneshot_sketch.errors import InputError
from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.face_finder import the_face
from oneshot_sketch.images import to_pil
from oneshot_sketch.models.inversion import invert
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.yunet import YuNetFaceFinder

STYLE, COUNT, SIDE = "style1", 16, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with fs2k/ and weights/yunet")
    parser.add_argument("--run", type=Path, required=True, help="folder with generator/ and encoder/")
    args = parser.parse_args()

    finder = YuNetFaceFinder(args.data / "weights/yunet/yunet_n_320_320.onnx")
    rows = fs2k.load(args.data / "fs2k").filter(lambda row: row["style"] == STYLE)
    names = sorted(range(len(rows)), key=lambda i: hashlib.sha256(rows[i]["identity"].encode()).hexdigest())
    squares: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for index in names:
        row = rows[index]
        photo, sketch = row["photo"].convert("RGB"), row["sketch"].convert("RGB")
        try:
            face = the_face(finder.find(photo), row["identity"])
        except InputError:
            continue
        crop = FaceCrop.around(face.points, photo.size)
        squares[row["identity"]] = crop.cut(photo, SIDE), crop.cut(sketch.resize(photo.size), SIDE)
        if len(squares) == COUNT:
            break
    for kind, place in (("photo", 0), ("sketch", 1)):
        (args.run / "pairs" / kind).mkdir(parents=True, exist_ok=True)
        for name, pair in squares.items():
            to_pil(pair[place])[0].save(args.run / "pairs" / kind / f"{name}.png")

    generator = StyleGAN2Generator.from_pretrained(args.run / "generator").eval().requires_grad_(False)
    encoder = InversionEncoder.from_pretrained(args.run / "encoder").eval().requires_grad_(False)
    photos = torch.cat([squares[name][0] for name in sorted(squares)])
    inversion = invert(generator, photos, encoder, config=SETTINGS.inversion, progress=True)
    save_file({"ws": inversion.ws}, args.run / "latents.safetensors")
    print(f"{COUNT} pairs, inversion error {inversion.error.mean():.3f} (at worst {inversion.error.max():.3f}) → {args.run}")


if __name__ == "__main__":
    main()
