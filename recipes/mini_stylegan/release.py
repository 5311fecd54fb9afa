"""Trained parts → the embedded sketch prior, float16 (step 6, the last).

    python recipes/mini_stylegan/release.py --run runs/mini_stylegan --output oneshot_sketch/mini_prior

The face finder that lies in the output already (recipes/mini_prior) is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from oneshot_sketch.face_finder import EmbeddedFaceFinder
from oneshot_sketch.models.inversion import InversionConfig
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.sketch_prior import SketchPrior, SketchPriorConfig

SETTINGS = SketchPriorConfig(inversion=InversionConfig(steps=25, held_to="start"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with generator/, encoder/ and sketch_generator/")
    parser.add_argument("--output", type=Path, required=True, help="folder of the prior, with face_finder/")
    args = parser.parse_args()

    finder = EmbeddedFaceFinder.from_pretrained(args.output / "face_finder")
    finder.network.half()
    prior = SketchPrior(
        StyleGAN2Generator.from_pretrained(args.run / "generator").half(),
        StyleSketchGenerator.from_pretrained(args.run / "sketch_generator").half(),
        finder,
        InversionEncoder.from_pretrained(args.run / "encoder").half(),
        SETTINGS,
    )
    prior.save_pretrained(args.output)
    for file in args.output.glob("*/config.json"):  # diffusers notes where each part was loaded from
        config = json.loads(file.read_text())
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2) + "\n")
    size = sum(file.stat().st_size for file in args.output.rglob("*.safetensors"))
    print(f"{size / 2**20:.1f} MB of weights in {args.output}")


if __name__ == "__main__":
    main()
