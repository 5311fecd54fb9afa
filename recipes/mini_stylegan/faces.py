"""Photos → aligned faces (step 1 of the embedded StyleGAN2).

    python recipes/mini_stylegan/faces.py --data ../shared/data --output runs/mini_stylegan

FFHQ's thumbnails are aligned already; the mean of the five points YuNet finds in them is the template that colour
portraits of the congress set are brought to. Look-alikes of held-out photos are held out with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from oneshot_sketch.data import YuNet
from oneshot_sketch.data.near_duplicates import LOOKALIKE_BITS, perceptual_hash
from oneshot_sketch.errors import InputError

SIDE, HELD_OUT = 128, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/ and weights/yunet")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    finder = YuNet(args.data / "weights/yunet/yunet_n_320_320.onnx")
    thumbnails = [Image.open(path).convert("RGB") for path in sorted((args.data / "photos/ffhq_128").iterdir())]
    found = [points for photo in tqdm(thumbnails[:600], desc="template") if (points := _points(finder, photo)) is not None]
    template = np.median(found, axis=0)
    print(f"template from {len(found)} thumbnails: {np.round(template, 1).tolist()}")

    faces = [np.asarray(photo) for photo in thumbnails]
    for path in tqdm(sorted((args.data / "photos/congress").glob("*.jpg")), desc="portraits"):
        photo = Image.open(path).convert("RGB")
        points = None if np.ptp(np.asarray(photo), axis=2).mean() < 4 else _points(finder, photo)
        if points is not None:
            faces.append(_align(photo, points, template))

    hashes = np.stack([perceptual_hash(Image.fromarray(face)) for face in faces])
    order = np.random.default_rng(0).permutation(len(thumbnails))[:HELD_OUT]
    like = np.array([(hashes ^ hashes[i]).sum(1) <= LOOKALIKE_BITS for i in order]).any(0)
    held_out = np.zeros(len(faces), bool)
    held_out[order] = True
    args.output.mkdir(parents=True, exist_ok=True)
    np.save(args.output / "train.npy", np.stack(faces)[~like & ~held_out])
    np.save(args.output / "held_out.npy", np.stack(faces)[held_out])
    print(
        f"{(~like & ~held_out).sum()} faces, {held_out.sum()} held out, "
        f"{(like & ~held_out).sum()} look-alikes dropped → {args.output}"
    )


def _points(finder: YuNet, photo: Image.Image) -> np.ndarray | None:
    try:
        return finder(photo)
    except InputError:
        return None


def _align(photo: Image.Image, points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """(128, 128, 3) uint8: the similarity that brings the points nearest to the template; borders mirrored."""
    matrix, _ = cv2.estimateAffinePartial2D(points, template, method=cv2.LMEDS)
    pixels = np.asarray(photo)
    scale = float(np.hypot(*matrix[0, :2]))
    if scale < 0.8:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.45 / scale)
    return cv2.warpAffine(pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


if __name__ == "__main__":
    main()
