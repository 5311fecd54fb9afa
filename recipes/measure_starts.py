"""Which judge of one pair finds the captions that draw other photos well?

    python recipes/measure_starts.py --data ../shared/data --output runs/starts

Draws a pair and other photos, which no table uses, by every caption that learning may start from. For each judge of the pair's
drawing: the rank correlation, over captions, with LPIPS on the other photos, and what its favourite reaches there. Writes
results.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sweep_learning import development
from tqdm import tqdm

from oneshot_sketch import OneShotSketchPipeline, PhotoSketchPair
from oneshot_sketch.atomic import replacing
from oneshot_sketch.attributes import describe, typical
from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import with_paths
from oneshot_sketch.images import to_tensor
from oneshot_sketch.learners.caption_search import SHAPES
from oneshot_sketch.learners.likeness import TONE_WEIGHT
from oneshot_sketch.metrics import fsim, scoot, ssim, tone_distance

JUDGES = {
    "squared error": lambda ours, truth: -(ours - truth).square().mean((1, 2, 3)),
    "SSIM": ssim,
    "SCOOT": scoot,
    "tone": lambda ours, truth: -tone_distance(ours, truth),
    "FSIM": fsim,
    "FSIM − 0.3 tone": lambda ours, truth: fsim(ours, truth) - TONE_WEIGHT * tone_distance(ours, truth),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/, fs2k/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exemplars", type=int, default=4)
    parser.add_argument("--photos", type=int, default=12)
    args = parser.parse_args()

    protocol = load_protocol("hands")
    options = next(with_paths(m.options, args.data) for m in protocol.measures if m.metric == "lpips")
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    rows: dict[str, dict[str, list[float]]] = {}
    for part in protocol.parts:
        pairs = development(protocol, part, args.data)
        exemplars, others = pairs[: args.exemplars], pairs[args.exemplars : args.exemplars + args.photos]
        for number, exemplar in enumerate(tqdm(exemplars, desc=part.title)):
            for name, found in judged(pipe, exemplar, others, options).items():
                rows.setdefault(f"{part.title}: {name}", {})[str(number)] = found
    with replacing(args.output / "results.json") as file:
        file.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    print("| | " + " | ".join(f"{part.title}: rank correlation | LPIPS ↓ | tone ↓" for part in protocol.parts) + " |")
    print("|---" * (1 + 3 * len(protocol.parts)) + "|")
    for name in dict.fromkeys(key.split(": ")[1] for key in rows):
        means = [np.mean(list(rows[f"{part.title}: {name}"].values()), 0) for part in protocol.parts]
        print(f"| {name} | " + " | ".join(f"{r:+.2f} | {lpips:.3f} | {tone:.3f}" for r, lpips, tone in means) + " |")


@torch.no_grad()
def judged(
    pipe: OneShotSketchPipeline, exemplar: PhotoSketchPair, others: list[PhotoSketchPair], options: dict[str, Any]
) -> dict[str, list[float]]:
    """Judge → rank correlation, LPIPS and tone distance of its favourite; also of the look alone and of the best caption."""
    photo, sketch = to_tensor(exemplar.photo), to_tensor(exemplar.sketch)
    truths = to_tensor([other.sketch for other in others])
    look = describe(typical(sketch, photo)[0])
    scores: dict[str, list[float]] = {name: [] for name in JUDGES}
    held: list[list[float]] = []
    for shape in SHAPES:
        photos = [exemplar.photo, *(other.photo for other in others)]
        noise = torch.Generator().manual_seed(0)
        ours = to_tensor(pipe(f"{shape} {look}".strip(), image=photos, generator=noise).images)
        for name, judge in JUDGES.items():
            scores[name].append(float(judge(ours[:1], sketch)))
        lpips = build_metric("lpips", options)
        lpips.update(ours[1:], truths=truths)
        held.append([lpips.compute().value, float(tone_distance(ours[1:], truths).mean())])
    reached = np.array(held)
    found = {"look alone": [np.nan, *held[SHAPES.index("")]], "best caption": [np.nan, *held[int(reached[:, 0].argmin())]]}
    for name, score in scores.items():
        found[name] = [float(spearmanr(score, -reached[:, 0])[0]), *held[int(np.argmax(score))]]
    return found


if __name__ == "__main__":
    main()
