"""How good the sketches of both stages of IDE are, against the artist's, grey and in the data set's own size.

    python recipes/measure_ide.py --pipeline runs/ide/pipeline --root data/cufs --style student --photos 20 \
        --weights data/weights --output runs/ide/measured
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from train_ide import chosen

from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.contact_sheet import contact_sheet
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey, save_png, to_tensor
from oneshot_sketch.pipelines.ide import IDEPipeline

SQUEEZE = {
    "caffe": True,
    "weights": "squeezenet1_1/squeezenet1_1_caffe_fp16_torchvision_names.pth",
    "heads": "lpips/squeeze_v0.1.pth",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--data_set", default="cufs")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--style")
    parser.add_argument("--split", default="test")
    parser.add_argument("--test_share", type=float, help="as it was trained with")
    parser.add_argument("--photos", type=int, help="so many, spread evenly by index; default all")
    parser.add_argument("--weights", type=Path, help="folder of SqueezeNet's and LPIPS' weights, for LPIPS and FID")
    parser.add_argument("--output", type=Path, required=True)
    try:
        measure(parser.parse_args())
    except InputError as error:
        print(f"measure_ide: {error}", file=sys.stderr)
        return 2
    return 0


def measure(args: argparse.Namespace) -> None:
    pairs = chosen(args, args.split, None)
    if args.photos is not None:
        pairs = [pairs[i * len(pairs) // args.photos] for i in range(args.photos)]
    pipe = IDEPipeline.from_pretrained(args.pipeline)
    wall, processor = time.perf_counter(), time.process_time()
    drawn = pipe([pair.photo for pair in pairs])
    seconds = [(clock() - start) / len(pairs) for clock, start in ((time.perf_counter, wall), (time.process_time, processor))]
    stages = {"stage one": drawn.coarse} | ({"both stages": drawn.images} if pipe.enhancer is not None else {})
    table = {name: judge(sketches, [pair.sketch for pair in pairs], args.weights) for name, sketches in stages.items()}
    print(json.dumps(table, indent=1, ensure_ascii=False))
    print(f"{len(pairs)} photos, {seconds[0]:.1f} s and {seconds[1]:.1f} processor seconds each")
    with replacing(args.output / "scores.json") as part:
        part.write_text(json.dumps({"photos": len(pairs), "seconds": seconds, **table}, indent=1, ensure_ascii=False))
    for name, sketches in stages.items():
        for pair, sketch in zip(pairs, sketches, strict=True):
            save_png(sketch, args.output / "drawn" / name / f"{pair.name}.png")
    few = slice(0, 8)
    rows = {"photo": [p.photo for p in pairs[few]], **{name: s[few] for name, s in stages.items()}}
    save_png(contact_sheet({**rows, "artist": [p.sketch for p in pairs[few]]}, side=250), args.output / "sheet.png")


def judge(sketches: list[Image.Image], artist: list[Image.Image], weights: Path | None) -> dict[str, float]:
    """Every metric by its full name."""
    metrics = [build_metric("ssim"), build_metric("fsim")]
    if weights is not None:
        squeeze = {k: str(weights / v) if isinstance(v, str) else v for k, v in SQUEEZE.items()}
        metrics += [build_metric("lpips", {"net": "squeeze", **squeeze}), build_metric("fid", {"network": "squeeze", **squeeze})]
    for sketch, truth in zip(sketches, artist, strict=True):
        if sketch.size != truth.size:
            sketch = sketch.resize(truth.size, Image.Resampling.LANCZOS)
        pictures = [grey(to_tensor(image)).expand(-1, 3, -1, -1) for image in (sketch, truth)]
        with torch.no_grad():
            for metric in metrics:
                metric.update(*pictures)
    scores = [metric.compute() for metric in metrics]
    return {score.name: round(score.value, 4) for score in scores}


if __name__ == "__main__":
    sys.exit(main())
