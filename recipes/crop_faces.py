"""Bring all pairs of a data set to one frame, FFHQ's square around the face, for systems that want faces in one place.

    python recipes/crop_faces.py --data_set fs2k --root data/fs2k --style style2 --test_share 0.2 --side 200 --output data/fs2k_2

Writes train/ and test/ with photo/ and sketch/ in each, a folder of pairs as every recipe here reads it. Photos in which the
finder sees no single face are left out and counted. The embedded finder needs nothing; --yunet takes OpenCV's.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from oneshot_sketch.errors import InputError


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data_set", default="folder", help="see oneshot_sketch.data.load_pairs")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument("--style", help="only pairs of this style")
    parser.add_argument("--test_share", type=float, help="make a split of one's own: so much is test, by the hash of identities")
    parser.add_argument("--yunet", type=Path, help="ONNX file of OpenCV's face detector")
    parser.add_argument("--side", type=int, default=256, help="of the squares, pixels")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """
    Raises:
        InputError: a data set or a finder that cannot be read, or settings out of range.
    """
    from oneshot_sketch.data import load_pairs, split_by_hash, to_pair
    from oneshot_sketch.face_crop import FaceCrop
    from oneshot_sketch.face_finder import EmbeddedFaceFinder, the_face
    from oneshot_sketch.images import save_png, to_pil
    from oneshot_sketch.yunet import YuNetFaceFinder

    if args.side < 16:
        raise InputError(f"--side is {args.side}; it must be at least 16 pixels.")
    finder = EmbeddedFaceFinder.from_pretrained("mini") if args.yunet is None else YuNetFaceFinder(args.yunet)
    rows = load_pairs(args.data_set, args.root)
    if args.style is not None:
        rows = rows.select([i for i, style in enumerate(rows["style"]) if style == args.style])
    if args.test_share is not None:
        rows = split_by_hash(rows, args.test_share)
    if not len(rows):
        raise InputError(f"{args.root} holds no pair of style {args.style!r}; check the name.")
    written: Counter[str] = Counter()
    for row in tqdm(rows, desc="faces"):
        pair = to_pair(row)
        photo, sketch = pair.photo.convert("RGB"), pair.sketch.convert("RGB")
        try:
            crop = FaceCrop.around(the_face(finder.find(photo), pair.name).points, photo.size)
        except InputError:
            written["left out"] += 1
            continue
        for side, picture in (("photo", photo), ("sketch", sketch.resize(photo.size))):
            save_png(to_pil(crop.cut(picture, args.side))[0], args.output / row["split"] / side / f"{pair.name}.png")
        written[row["split"]] += 1
    print(f"{', '.join(f'{count} {name}' for name, count in sorted(written.items()))} → {args.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        run(parse_args(arguments))
    except InputError as error:
        print(f"crop_faces: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
