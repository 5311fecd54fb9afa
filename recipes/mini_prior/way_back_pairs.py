"""Pairs for the way back through the embedded StyleGAN2, in one file with their latents.

    python recipes/mini_prior/way_back_pairs.py --data ../shared/data --output runs/way_back/pairs.safetensors

Most are faces that the generator invents, sketched by the embedded sketch generator, the rest by filters, each of so many
settings in turn. A tenth are real: FS2K's styles 0 and 1, aligned like the generator's faces, as they are and mirrored, with
latents by the embedded encoder. Nothing of FS2K's style 2 or of CUFS is among them. Then

    python recipes/train_picture_that_sketch.py --kept runs/way_back/pairs.safetensors ...
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import TensorDataset
from tqdm import tqdm

from oneshot_sketch.data import fs2k
from oneshot_sketch.errors import InputError
from oneshot_sketch.face_crop import FaceCrop
from oneshot_sketch.face_finder import the_face
from oneshot_sketch.filters import dodge_and_burn, xdog
from oneshot_sketch.images import grey
from oneshot_sketch.learners.draws import generator as random_numbers
from oneshot_sketch.learners.picture_that_sketch_data import Examples, KeptPairs, PseudoPairs
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.sketch_prior import MINI
from oneshot_sketch.yunet import YuNetFaceFinder

STYLES, SETTINGS, SEED = ("style0", "style1"), 50, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with fs2k/ and weights/yunet")
    parser.add_argument("--count", type=int, default=10_000, help="of invented faces sketched by the sketch generator")
    parser.add_argument("--filtered", type=int, default=4_000, help="of invented faces drawn by filters")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    generator = StyleGAN2Generator.from_pretrained(MINI / "generator").float().eval()
    sketcher = StyleSketchGenerator.from_pretrained(MINI / "sketch_generator").float().eval()
    encoder = InversionEncoder.from_pretrained(MINI / "encoder").float().eval()
    parts: list[Examples] = [PseudoPairs(generator, sketcher, args.count, SEED)]
    for setting in range(SETTINGS):
        parts.append(PseudoPairs(generator, filter_of(setting), args.filtered // SETTINGS, SEED + 1 + setting))
    parts.append(real_pairs(args.data, encoder, generator.config["resolution"]))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    KeptPairs.keep(parts, args.output)
    print(f"{sum(map(len, parts))} pairs, {len(parts[-1])} of them real → {args.output}")


def filter_of(setting: int) -> Callable[[Tensor], Tensor]:
    """One of the filters, its widths and its paper drawn from the setting's number."""
    a, b, c, d = torch.rand(4, generator=random_numbers(SEED, setting)).tolist()

    def draw(photos: Tensor) -> Tensor:
        if setting % 2:
            drawn = dodge_and_burn(photos, 3 + 7 * a)
        else:
            drawn = xdog(photos, 0.7 + 1.0 * a, sharpness=6 + 14 * b, threshold=0.3 + 0.4 * c, slope=2 + 8 * d)
        paper, ink = 1 - 0.4 * b * c, -1 + 0.8 * d * a
        return ink + (drawn[:, :1] + 1) / 2 * (paper - ink)

    return draw


@torch.no_grad()
def real_pairs(data: Path, encoder: InversionEncoder, side: int) -> Examples:
    """Aligned FS2K pairs and their mirror images, in whose photo YuNet finds one face."""
    finder = YuNetFaceFinder(data / "weights/yunet/yunet_n_320_320.onnx")
    rows = fs2k.load(data / "fs2k").filter(lambda row: row["style"] in STYLES)
    photos, sketches = [], []
    for row in tqdm(rows, desc="real pairs"):
        photo, sketch = row["photo"].convert("RGB"), row["sketch"].convert("RGB")
        try:
            crop = FaceCrop.around(the_face(finder.find(photo), row["identity"]).points, photo.size)
        except InputError:
            continue
        photos.append(crop.cut(photo, side))
        sketches.append(grey(crop.cut(sketch.resize(photo.size), side)))
    both = [mirrored(torch.cat(pictures)) for pictures in (photos, sketches)]
    latents = torch.cat([encoder(part).float() for part in both[0].split(32)])
    return TensorDataset(*both, latents)


def mirrored(pictures: Tensor) -> Tensor:
    return torch.cat([pictures, pictures.flip(-1)])


if __name__ == "__main__":
    main()
