"""Faces → shards of (photo, drawing, caption) triples (step 2 of the embedded backbone).

    python recipes/mini_backbone/triples.py --run runs/mini --shard 0 --count 6000

A shard is three files: photos (N, S, S, 3) and drawings (N, S, S) uint8, S being 128 for faces of 144, and captions as JSON
lines with `words` and the ten real-valued `levels`, which are those of the hand rather than of one sitter. The shard's number is
its seed; `mini` learned from shards 0 to 9 at 128, its fourth edition from 0 to 7 and, of 5,000, 0 and 1 at 256.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from drawing import Image, subject_mask, unit
from edits import procedural, sketch_mix
from tqdm import trange

from oneshot_sketch.attributes import typical

ARTISTS = ("first artist", "second artist")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with faces.npz")
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--count", type=int, default=6000)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

    rng = np.random.default_rng(args.shard)
    faces = Faces(args.run / "faces.npz")
    photos = np.zeros((args.count, faces.side, faces.side, 3), np.uint8)
    drawings = np.zeros((args.count, faces.side, faces.side), np.uint8)
    words: list[str] = []
    for n in trange(args.count, desc=f"shard {args.shard}"):
        photo, drawing, caption = faces.triple(rng)
        photos[n], drawings[n] = to_uint8(photo), to_uint8(drawing)
        words.append(caption)
    levels = torch.cat([levels_of(d, p) for d, p in zip(np.split(drawings, 20), np.split(photos, 20), strict=True)])

    folder = args.run / "triples"
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{args.shard:03d}.photos.npy", photos)
    np.save(folder / f"{args.shard:03d}.drawings.npy", drawings)
    with open(folder / f"{args.shard:03d}.captions.jsonl", "w") as file:
        for caption, row in zip(words, levels.tolist(), strict=True):
            file.write(json.dumps({"words": caption, "levels": [round(v, 2) for v in row]}) + "\n")


class Faces:
    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            train = ~file["held_out"]
            self.photos, self.sketches, self.styles = (file[k][train] for k in ("photos", "sketches", "styles"))
            self.alone = file["alone"]
        self.side = self.photos.shape[1] * 8 // 9
        self.by_style = [np.flatnonzero(self.styles == style) for style in (0, 1)]

    def triple(self, rng: np.random.Generator) -> tuple[Image, Image, str]:
        """A photo (S, S, 3), a drawing of it (S, S), both in [0, 1], and the words for the drawing."""
        if rng.random() < 0.25:
            (photo,) = augment(rng, self.alone[rng.integers(len(self.alone))])
            drawing, words = procedural(rng, relight(rng, photo), None)
            return photo, drawing, " ".join(words)
        style = rng.integers(2)
        i = rng.choice(self.by_style[style])
        photo, sketch = augment(rng, self.photos[i], self.sketches[i])
        sketch = sketch.mean(2)
        mask = subject_mask(sketch)
        photo = relight(rng, photo)
        if mask is not None and rng.random() < 0.3:
            photo = backdrop(rng, photo, mask)
        if rng.random() < 2 / 3:
            drawing, words = sketch_mix(rng, photo, sketch, mask, ARTISTS[style])
        else:
            drawing, words = procedural(rng, photo, mask)
        return photo, drawing, " ".join(words)


def relight(rng: np.random.Generator, photo: Image) -> Image:
    if rng.random() >= 0.25:
        return photo
    return unit((photo - 0.5) * rng.uniform(0.7, 1.25) + 0.5 + rng.uniform(-0.12, 0.12) + rng.uniform(-0.05, 0.05, 3))


def backdrop(rng: np.random.Generator, photo: Image, mask: Image) -> Image:
    """The subject before a plain wall."""
    colour = rng.random(3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.5, 1))
    return unit(photo * mask[..., None] + colour * (1 - mask[..., None]))


def augment(rng: np.random.Generator, *images: np.ndarray) -> list[Image]:
    """The same crop, zoom and flip of aligned (F, F, C) uint8 images → (S, S, C) float32, S being 8/9 of F."""
    full = images[0].shape[0]
    wanted = full * 8 // 9
    side = int(rng.integers(full * 7 // 9, full + 1)) if rng.random() < 0.4 else wanted
    y, x = rng.integers(0, full - side + 1, 2)
    flip = rng.random() < 0.5
    out = []
    for image in images:
        part = image[y : y + side, x : x + side].astype(np.float32) / 255
        if side != wanted:
            part = unit(cv2.resize(part, (wanted, wanted), interpolation=cv2.INTER_AREA if side > wanted else cv2.INTER_CUBIC))
        out.append(np.ascontiguousarray(part[:, ::-1] if flip else part))
    return out


def to_uint8(image: Image) -> np.ndarray:
    return (image * 255 + 0.5).clip(0, 255).astype(np.uint8)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """(N, H, W[, 3]) uint8 → (N, 1 or 3, H, W) float32 in [-1, 1]."""
    tensor = torch.from_numpy(images).float() / 127.5 - 1
    return tensor[:, None] if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)


def levels_of(drawings: np.ndarray, photos: np.ndarray) -> torch.Tensor:
    return typical(to_tensor(drawings), to_tensor(photos))


if __name__ == "__main__":
    main()
