"""Does the drift that `learn` warns of tell which pairs teach a hand badly?

    python recipes/measure_drift.py --data ../shared/data --output runs/drift

Learns from many single pairs of each hand, on photos no table uses; sets the drift of the look, measured on the bundled photos,
against the tone distance to the artist's own sketches of other photos. Run again to resume. Writes results.json and prints a
line a hand.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import spearmanr
from sweep_learning import development
from tqdm import tqdm

from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearner, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.rivals.networks import drawn
from oneshot_sketch.cli.learning import bundled_pictures, look_drift
from oneshot_sketch.images import list_images, open_image, to_tensor
from oneshot_sketch.metrics import tone_distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and fs2k/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exemplars", type=int, default=10, help="pairs a hand that are each learned from alone")
    parser.add_argument("--photos", type=int, default=12, help="other photos a hand")
    args = parser.parse_args()

    record = args.output / "results.json"
    rows: dict[str, list[float]] = json.loads(record.read_text()) if record.is_file() else {}
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    learner = InstructionLearner(FrozenInstructPix2Pix.from_pipeline(pipe, "mini"))
    bundled = [open_image(path) for path in list_images(bundled_pictures() / "photos")[:4]]
    protocol = replace(load_protocol("hands"), photos=50)
    for part in protocol.parts:
        pairs = development(protocol, part, args.data)
        others = pairs[args.exemplars : args.exemplars + args.photos]
        for number, pair in enumerate(tqdm(pairs[: args.exemplars], desc=part.title)):
            if f"{part.title}: {number}" in rows:
                continue
            instruction = learner.learn(pair, progress=False)
            change = look_drift([pair], bundled, [sketched(pipe, instruction, [photo])[0] for photo in bundled])
            ours = to_tensor(sketched(pipe, instruction, [other.photo for other in others]))
            tone = tone_distance(ours, to_tensor([other.sketch for other in others])).mean()
            rows[f"{part.title}: {number}"] = [float(np.abs(list(change.values())).mean()), float(tone)]
            with replacing(record) as file:
                file.write_text(json.dumps(rows, indent=1))
        drifts, tones = np.array([row for key, row in rows.items() if key.startswith(f"{part.title}: ")]).T
        told = ", ".join(f"{np.quantile(drifts, q):.2f}" for q in (0, 0.25, 0.5, 0.75, 1))
        print(f"{part.title}: drift {told} (quartiles); rank correlation with tone distance {spearmanr(drifts, tones)[0]:+.2f}")


def sketched(pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photos: list[Image.Image]) -> list[Image.Image]:
    pipe.load_instruction(instruction, "drift")
    try:
        return drawn(pipe, photos, seed=0)
    finally:
        pipe.unload_instruction("drift")


if __name__ == "__main__":
    main()
