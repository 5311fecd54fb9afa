"""A contact sheet of the way back: faces that no mapper saw, their sketches, and what the embedded mapper reads in them.

    python recipes/mini_prior/show_way_back.py --output docs/systems/picture_that_sketch.jpg

Rows: the sketch, the face it was drawn of, three photos of it, one by three latents, and the sketch three tenths and six tenths
drawn with its photos. The faces are the first of the seed, not chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from oneshot_sketch.contact_sheet import contact_sheet
from oneshot_sketch.images import to_pil
from oneshot_sketch.learners.picture_that_sketch_data import PseudoPairs
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.partial_sketches import incomplete, latents_for
from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline
from oneshot_sketch.sketch_prior import MINI

UNSEEN = 1_000_003


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", default="mini")
    parser.add_argument("--faces", type=int, default=10)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    pipe = PictureThatSketchPipeline.from_pretrained(args.pipeline)
    sketcher = StyleSketchGenerator.from_pretrained(MINI / "sketch_generator").float().eval()
    pairs = PseudoPairs(pipe.generator, sketcher, args.faces, UNSEEN)
    photos, sketches, _ = (torch.stack(part) for part in zip(*(pairs[i] for i in range(args.faces)), strict=True))
    whole = to_pil(sketches)
    made = pipe(whole, num_images=3).images
    rows = {"sketch": whole, "the face it shows": to_pil(photos)}
    rows |= {f"photo {i + 1}": made[i::3] for i in range(3)}
    rows["by 3 latents"] = pipe(whole, num_latents=3).images
    for completion in (0.6, 0.3):
        begun = to_pil(incomplete(sketches, completion, torch.Generator().manual_seed(0)))
        rows[f"{completion:.0%} drawn"] = begun
        count = latents_for(completion, pipe.mapper.config["max_predicted"])
        rows[f"its photo, by {count} latents"] = pipe(begun, num_latents=count).images
    contact_sheet(rows, side=96).save(args.output, quality=85)
    print(args.output)


if __name__ == "__main__":
    main()
