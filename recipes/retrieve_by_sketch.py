"""Find the photos that a sketch shows: photos are made of it, and the gallery ordered by how near they are.

    python recipes/retrieve_by_sketch.py --pipeline faces --embedding embedding --sketch suspect.png --gallery photos/ --first 10

Prints rank, cosine and file. "Generate, then nearest neighbour", as the paper retrieves; how often the right photo is among the
first 1, 5 or 10 is measured by the benchmark's rank-1, rank-5 and rank-10.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from oneshot_sketch.errors import InputError


def ranked(
    pipe: Any, embedding: Any, sketch: Image.Image, gallery: Sequence[Image.Image], num_images: int = 4, seed: int = 0
) -> list[tuple[int, float]]:
    """The gallery from the nearest on.

    Args:
        pipe: a `PictureThatSketchPipeline`.
        embedding: a `FineGrainedEmbedding`, or whatever maps (B, 3, H, W) in [-1, 1] to (B, d).
        num_images: photos made of the sketch, in several appearances; the mean of their vectors is compared.

    Returns:
        Index into the gallery and cosine, in falling order of the cosine; of equal ones the first comes first.

    Raises:
        InputError: an empty gallery, or an argument the pipeline refuses.
    """
    import torch
    from torch.nn import functional as F

    from oneshot_sketch.images import square, to_tensor

    if not gallery:
        raise InputError("the gallery is empty; give photos to look through.")
    with torch.no_grad():
        made = embedding(to_tensor(pipe(sketch, num_images=num_images, seed=seed).images))
        wanted = F.normalize(F.normalize(made, dim=1).mean(0), dim=0)
        side = pipe.generator.config["resolution"]
        seen = torch.cat([F.normalize(embedding(to_tensor(square(photo, side))), dim=1) for photo in gallery])
    nearness = seen @ wanted
    return [(i, nearness[i].item()) for i in nearness.argsort(descending=True, stable=True).tolist()]


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--pipeline", required=True, help="folder or Hub id of a PictureThatSketchPipeline")
    parser.add_argument("--embedding", required=True, type=Path, help="folder of a FineGrainedEmbedding")
    parser.add_argument("--sketch", required=True, type=Path)
    parser.add_argument("--gallery", required=True, type=Path, help="folder of photos in the generator's crop")
    parser.add_argument("--num_images", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=10)
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """
    Raises:
        InputError: pictures or networks that cannot be used.
    """
    from oneshot_sketch.benchmark import Unavailable
    from oneshot_sketch.benchmark.rivals.networks import pretrained
    from oneshot_sketch.images import list_images, open_image
    from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
    from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline

    if not args.gallery.is_dir():
        raise InputError(f"{args.gallery} is no folder; give one with photos as --gallery.")
    sketch, files = open_image(args.sketch), list_images(args.gallery)
    try:
        embedding = pretrained(FineGrainedEmbedding, args.embedding).cpu()
    except Unavailable as error:
        raise InputError(f"{error}; check --embedding.") from None
    pipe = PictureThatSketchPipeline.from_pretrained(args.pipeline)
    order = ranked(pipe, embedding, sketch, [open_image(file) for file in files], args.num_images, args.seed)
    for rank, (i, cosine) in enumerate(order[: args.first], 1):
        print(f"{rank:4d}  {cosine:.4f}  {files[i]}")


if __name__ == "__main__":
    try:
        run(parse_args())
    except InputError as error:
        print(f"retrieve_by_sketch: {error}", file=sys.stderr)
        sys.exit(2)
