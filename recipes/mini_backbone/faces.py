"""Folders of pairs and photos → one aligned, de-duplicated array file (step 1 of the embedded backbone).

    python recipes/mini_backbone/faces.py --data ../shared/data --output runs/mini

Every face is found by YuNet and cropped to an upright square that frames it as a portrait: 144 pixels wide, of which
lessons of 128 are cut, or 288.
FS2K style 2 and CUFS never enter. Near-duplicate photos (difference hash) go to the same side of the split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

FACE_SHARE = 0.58  # height of YuNet's box in the height of the crop
FACE_CENTRE = 0.55  # height of the box's centre in the crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with fs2k/, photos/congress and weights/yunet")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--side", type=int, default=144)
    args = parser.parse_args()

    finder = cv2.FaceDetectorYN.create(str(args.data / "weights/yunet/yunet_n_320_320.onnx"), "", (320, 320), 0.6)
    rows = [row for row in json.loads((args.data / "fs2k/pairs.json").read_text()) if row["style"] in (0, 1)]
    photos, sketches, styles, hashes = [], [], [], []
    for row in tqdm(rows, desc="pairs"):
        photo, sketch = (_read(args.data / "fs2k" / kind, row["name"]) for kind in ("photo", "sketch"))
        sketch = cv2.resize(sketch, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
        window = face_window(finder, photo)
        if window is not None:
            photos.append(crop(photo, window, args.side))
            sketches.append(crop(sketch, window, args.side))
            styles.append(row["style"])
            hashes.append(dhash(crop(photo, window, 144)))  # the same split at every side
    alone = []
    for path in tqdm(sorted((args.data / "photos/congress").glob("*.jpg")), desc="photos"):
        photo = _bgr(path)
        window = None if np.ptp(photo, axis=2).mean() < 4 else face_window(finder, photo)
        if window is not None:
            alone.append(crop(photo, window, args.side))

    held_out = split(hashes, share=0.08)
    args.output.mkdir(parents=True, exist_ok=True)
    np.savez(
        args.output / "faces.npz",
        photos=np.stack(photos),
        sketches=np.stack(sketches),
        styles=np.array(styles),
        held_out=held_out,
        alone=np.stack(alone),
    )
    print(f"{len(photos)} pairs of {len(rows)} ({held_out.sum()} held out), {len(alone)} photos → {args.output / 'faces.npz'}")


def face_window(finder: cv2.FaceDetectorYN, photo: np.ndarray) -> tuple[float, float, float] | None:
    """Left, top and side in pixels of the portrait square around the surest face, kept inside the photo.

    None without a face.
    """
    height, width = photo.shape[:2]
    finder.setInputSize((width, height))
    _, faces = finder.detect(photo)
    if faces is None:
        return None
    x, y, w, h = max(faces, key=lambda face: face[-1])[:4]
    side = min(max(w, h) / FACE_SHARE, height, width)
    left, top = x + w / 2 - side / 2, y + h / 2 - FACE_CENTRE * side
    return float(np.clip(left, 0, width - side)), float(np.clip(top, 0, height - side)), float(side)


def crop(image: np.ndarray, window: tuple[float, float, float], wanted: int) -> np.ndarray:
    """The window as (wanted, wanted, 3) uint8 RGB."""
    left, top, side = window
    scale = wanted / side
    smooth = cv2.GaussianBlur(image, (0, 0), 0.45 / scale) if scale < 0.8 else image
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    out = cv2.warpAffine(smooth, matrix, (wanted, wanted), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return out[..., ::-1].copy()


def dhash(photo: np.ndarray) -> int:
    """64-bit difference hash of (H, W, 3)."""
    small = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int("".join("01"[b] for b in (small[:, 1:] > small[:, :-1]).ravel().astype(int)), 2)


def split(hashes: list[int], share: float, radius: int = 6) -> np.ndarray:
    """Held-out mask: clusters of hashes within `radius` bits are kept together, picked in a fixed random order."""
    group = list(range(len(hashes)))
    for i, a in enumerate(hashes):
        for j in range(i):
            if (a ^ hashes[j]).bit_count() <= radius:
                old, new = group[i], group[j]
                group = [new if g == old else g for g in group]
    order = np.random.default_rng(0).permutation(sorted(set(group)))
    held = np.zeros(len(hashes), bool)
    for chosen in order:
        if held.mean() >= share:
            break
        held |= np.array(group) == chosen
    return held


def _read(folder: Path, stem: str) -> np.ndarray:
    return _bgr(next(path for path in sorted(folder.iterdir()) if path.stem == stem))


def _bgr(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{path} is not a picture.")
    return image


if __name__ == "__main__":
    main()
