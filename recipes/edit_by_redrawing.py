"""Edit a photo by redrawing the sketch it was made of: what the sketch does not decide stays as it was.

    python recipes/edit_by_redrawing.py --pipeline faces --sketch face.png --edited smile.png --edited beard.png --output edits

Writes face.png, smile.png and beard.png, the photos of these sketches, and sheet.png, where the third row shows how much each
pixel changed. `--seed` chooses the colours and textures, `--reference` takes them from a photo; with fewer `--num_latents` less
of the sketch is obeyed and more of the appearance kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from oneshot_sketch.errors import InputError


def redrawn(pipe: Any, sketches: Sequence[Image.Image], **appearance: Any) -> list[Image.Image]:
    """Photos of the states of one sketch, in one appearance.

    The mapper reads every state anew; all latents after the ones it predicts are the same, so a change of the sketch changes
    shape and leaves colour and texture.

    Args:
        pipe: a `PictureThatSketchPipeline`.
        sketches: the states, in its generator's crop.
        **appearance: num_latents, seed or reference, truncation, as of the pipeline.

    Raises:
        InputError: no sketch, or an argument the pipeline refuses.
    """
    return pipe(list(sketches), **appearance).images


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--pipeline", required=True, help="folder or Hub id of a PictureThatSketchPipeline")
    parser.add_argument("--sketch", required=True, type=Path)
    parser.add_argument("--edited", required=True, type=Path, action="append", help="the sketch redrawn; repeat for more")
    parser.add_argument("--num_latents", type=int, help="how many latents the sketch decides; default all the mapper predicts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=Path, help="a photo that lends colours and textures")
    parser.add_argument("--output", required=True, type=Path, help="folder")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """
    Raises:
        InputError: pictures or a pipeline that cannot be used.
    """
    from oneshot_sketch.contact_sheet import contact_sheet
    from oneshot_sketch.images import open_image, save_png
    from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline

    files = [args.sketch, *args.edited]
    if len({file.stem for file in files}) < len(files) or "sheet" in {file.stem for file in files}:
        raise InputError("the sketches need names of their own, other than sheet; rename them.")
    sketches = [open_image(file) for file in files]
    reference = None if args.reference is None else open_image(args.reference)
    pipe = PictureThatSketchPipeline.from_pretrained(args.pipeline)
    photos = redrawn(pipe, sketches, num_latents=args.num_latents, seed=args.seed, reference=reference)
    changes = [ImageChops.difference(photos[0], photo) for photo in photos]
    for file, photo in zip(files, photos, strict=True):
        save_png(photo, args.output / f"{file.stem}.png")
    save_png(contact_sheet({"sketch": sketches, "photo": photos, "change": changes}, 128), args.output / "sheet.png")
    print(f"{len(photos)} photos and a sheet. {args.output}")


if __name__ == "__main__":
    try:
        run(parse_args())
    except InputError as error:
        print(f"edit_by_redrawing: {error}", file=sys.stderr)
        sys.exit(2)
