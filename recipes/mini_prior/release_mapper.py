"""A trained mapper → the embedded way back from sketch to photo, float16, beside the generator it is for.

python recipes/mini_prior/release_mapper.py --pipeline runs/way_back/autoregressive/pipeline --output oneshot_sketch/mini_prior
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import stylegan_fingerprint
from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of the prior, with generator/")
    args = parser.parse_args()

    pipe = PictureThatSketchPipeline.from_pretrained(args.pipeline)
    embedded = StyleGAN2Generator.from_pretrained(args.output / "generator")
    if stylegan_fingerprint(pipe.generator) != stylegan_fingerprint(embedded):
        raise SystemExit(f"{args.pipeline} was trained for another generator than {args.output}")
    folder = args.output / "mapper"
    pipe.mapper.half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("_name_or_path", None)  # where it was loaded from
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    size = (folder / "diffusion_pytorch_model.safetensors").stat().st_size
    print(f"{size / 2**20:.1f} MB → {folder}")


if __name__ == "__main__":
    main()
