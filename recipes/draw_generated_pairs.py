"""Write faces that a StyleGAN2 invents, and the sketches drawn from its features, as a folder of pairs.

    python recipes/draw_generated_pairs.py --count 250 --output data/generated

The folder is read by `data = "folder"` in a benchmark's protocol. Every pair is a function of (seed, number): run again after a
stop, it goes on where it was, and a mapper trained with another seed has seen none of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oneshot_sketch.errors import InputError


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--generator", default="mini", help="mini, the embedded one, or the folder of another")
    parser.add_argument("--sketch_generator", default="mini", help="likewise")
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1_000_003, help="other than that of the training")
    parser.add_argument("--truncation", type=float, default=1.0)
    parser.add_argument("--output", required=True, type=Path, help="folder for photo/ and sketch/")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """
    Raises:
        InputError: networks that are not there, or settings out of range.
    """
    from oneshot_sketch.benchmark import Unavailable
    from oneshot_sketch.benchmark.rivals.networks import prior_part
    from oneshot_sketch.images import save_png, to_pil
    from oneshot_sketch.learners.picture_that_sketch_data import PseudoPairs

    if args.count < 1 or args.seed < 0:
        raise InputError(f"count is {args.count} and seed {args.seed}; give at least 1 and at least 0.")
    try:
        networks = [prior_part(getattr(args, part), part).cpu() for part in ("generator", "sketch_generator")]
    except Unavailable as error:
        raise InputError(f"{error}; check --generator and --sketch_generator.") from None
    pairs = PseudoPairs(*networks, args.count, args.seed, args.truncation)
    missing = 0
    for number in range(args.count):
        files = [args.output / side / f"{number:05d}.png" for side in ("photo", "sketch")]
        if all(file.is_file() for file in files):
            continue
        missing += 1
        for file, picture in zip(files, pairs[number], strict=False):
            save_png(to_pil(picture[None])[0], file)
    print(f"{missing} pairs written, {args.count - missing} were there. {args.output}")


if __name__ == "__main__":
    try:
        run(parse_args())
    except InputError as error:
        print(f"draw_generated_pairs: {error}", file=sys.stderr)
        sys.exit(2)
