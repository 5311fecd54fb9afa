"""The quickstart's pictures: one photo–sketch pair to learn a hand from, and five photos of others to draw with it.

    python recipes/quickstart_assets/make.py --output assets/quickstart --hopper grace_hopper.jpg

The pair's photo is the portrait of Eileen Collins that scikit-image carries (NASA), its sketch is drawn from it by
`flow_pencil`. The portrait of Grace Hopper (U.S. Navy) lies in matplotlib's wheel, under mpl-data/sample_data; the other
sitters are rendered by `portraits`. Every photo frames the face as a passport photo does: the face's box is 58 % of the
square high, its centre at 55 % of the height.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import flow_pencil
import numpy as np
import portraits
from skimage import data

Image = np.ndarray
SIDE = 256

# left, top and side in pixels of the original
COLLINS_WINDOW = (119.8, 4.0, 208.0)
HOPPER_WINDOW = (75.5, 15.4, 382.0)
# in pixels of the crop: certainly Collins, and all that may be
COLLINS_INSIDE = [
    (64, 77), (102, 30), (158, 30), (210, 87), (201, 134), (168, 190), (158, 223), (180, 255), (40, 255), (87, 214),
    (78, 143), (50, 124),
]  # fmt: skip
COLLINS_AROUND = [
    (32, 96), (45, 54), (92, 14), (149, 13), (175, 25), (210, 51), (228, 87), (229, 115), (205, 162), (175, 176), (252, 256),
    (0, 256), (0, 212), (26, 176), (73, 167), (36, 124),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("assets/quickstart"))
    parser.add_argument("--hopper", type=Path, required=True, help="matplotlib's sample_data/grace_hopper.jpg")
    parser.add_argument("--seed", type=int, default=0, help="of the pencil's strokes")
    args = parser.parse_args()

    photo = crop(data.astronaut(), COLLINS_WINDOW)
    mask = subject(photo, COLLINS_INSIDE, COLLINS_AROUND)
    sketch = flow_pencil.draw(photo.astype(np.float32) / 255, mask, args.seed)
    write(args.output / "pair_photo.jpg", photo)
    write(args.output / "pair_sketch.png", np.round(255 * sketch).astype(np.uint8))

    write(args.output / "photos/grace_hopper.jpg", crop(read(args.hopper), HOPPER_WINDOW))
    for number, person in enumerate(portraits.PEOPLE, 1):
        write(args.output / f"photos/portrait_{number}.jpg", portraits.photograph(person, SIDE))


def crop(image: Image, window: tuple[float, float, float]) -> Image:
    """The window as (256, 256, 3) uint8."""
    left, top, side = window
    scale = side / SIDE
    if scale > 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * scale)
    # centres of pixels, not their corners, map on each other
    matrix = np.float32([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def subject(photo: Image, inside: list[tuple[int, int]], around: list[tuple[int, int]]) -> Image:
    """Soft mask (256, 256) of the sitter: GrabCut between two polygons set by hand."""
    label = np.full(photo.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.fillPoly(label, [np.array(around, np.int32)], cv2.GC_PR_FGD)
    cv2.fillPoly(label, [np.array(inside, np.int32)], cv2.GC_FGD)
    cv2.setRNGSeed(1)
    cv2.grabCut(photo, label, None, np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(label, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return (cv2.GaussianBlur(mask, (0, 0), 2.0) > 0.5).astype(np.float32)  # rounds off the cut's corners


def read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: not a readable image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = [cv2.IMWRITE_JPEG_QUALITY, 93] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    if not cv2.imwrite(str(path), bgr, options):
        raise SystemExit(f"{path}: could not be written")
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
