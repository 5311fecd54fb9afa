"""Which settings of learning pay: each change alone against the default preset, on photos no other table uses.

    python recipes/sweep_learning.py --data ../shared/data --output runs/sweep

Run the same command again to resume. Writes results.json and table.md; `--drawing` sweeps steps and scales of drawing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measure_transfer import METRICS, Judge, Photos, choose, load_set, mean
from tqdm import tqdm

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.atomic import replacing

SETS = ("cuhk_student", "ar")
LEARNING: dict[str, dict[str, Any]] = {
    "default preset": {},
    "30 steps": {"steps": 30},
    "120 steps": {"steps": 120},
    "rate 1e-2": {"learning_rate": 1e-2},
    "rate 5e-2": {"learning_rate": 5e-2},
    "8 free rows": {"rows": 8},
    "39 free rows": {"rows": 39},
    "from a general text": {"init": "text"},
    "from noise": {"init": "noise"},
    "no crops or flips": {"augmentations": 1},
    "no edit loss": {"edit_weight": 0.0},
    "loss in ε": {"weighting": "epsilon"},
}
DRAWING = [(steps, 1.5, 1.5) for steps in (1, 2, 3, 4, 6, 10)]
DRAWING += [(3, 1.0, 1.5), (3, 2.0, 1.5), (3, 1.5, 1.0), (3, 1.5, 2.0), (3, 1.0, 2.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--backbone", default="mini", help="mini, or any InstructPix2Pix checkpoint")
    parser.add_argument("--photos", type=int, default=16, help="photos a set")
    parser.add_argument("--drawing", action="store_true", help="sweep drawing instead of learning")
    args = parser.parse_args()

    judge = Judge(args.data / "weights")
    pipe = OneShotSketchPipeline.from_pretrained(args.backbone)
    pipe.set_progress_bar_config(disable=True)
    frozen = FrozenInstructPix2Pix.from_pipeline(pipe, args.backbone)
    record = args.output / "results.json"
    rows: dict[str, dict[str, Any]] = json.loads(record.read_text()) if record.is_file() else {}
    for name in SETS:
        exemplar, others = development(load_set(args.data, name, 128), args.photos)
        kept: LearnedInstruction | None = None
        jobs = [f"{s} steps, {t} / {i}" for s, t, i in DRAWING] if args.drawing else list(LEARNING)
        for index, job in enumerate(tqdm(jobs, desc=name)):
            if f"{name}: {job}" in rows:
                continue
            if kept is None or not args.drawing:
                changes = {} if args.drawing else LEARNING[job]
                start = time.monotonic()
                kept = InstructionLearner(frozen, InstructionLearnerConfig(**changes)).learn(exemplar, progress=False)
                learning = time.monotonic() - start
            steps, text, image = DRAWING[index] if args.drawing else (None, None, None)
            start = time.monotonic()
            drawn = sketch(pipe, kept, [pair.photo for pair in others], steps, text, image)
            values = judge(drawn, others)
            row = {metric: mean(value[metric] for value in values) for metric in METRICS}
            rows[f"{name}: {job}"] = {**row, "learning": learning, "drawing": (time.monotonic() - start) / len(others)}
            with replacing(record) as part:
                part.write_text(json.dumps(rows, indent=1))
    with replacing(args.output / "table.md") as part:
        part.write_text(table(rows))
    print(table(rows))


def development(pairs: Sequence[PhotoSketchPair], photos: int) -> tuple[PhotoSketchPair, list[PhotoSketchPair]]:
    """An exemplar and other photos, all outside the transfer table's."""
    split = choose(pairs, 3, 50)
    used = {pair.name for pair in (*split.twenty, *split.others)}
    exemplar, *others = [pair for pair in pairs if pair.name not in used]
    return exemplar, others[:photos]


def sketch(
    pipe: OneShotSketchPipeline,
    instruction: LearnedInstruction,
    photos: Photos,
    steps: int | None,
    text: float | None,
    image: float | None,
) -> Photos:
    pipe.load_instruction(instruction, "swept")
    generators = [torch.Generator().manual_seed(0) for _ in photos]
    scales = {"guidance_scale": text, "image_guidance_scale": image}
    return pipe(image=list(photos), num_inference_steps=steps, generator=generators, **scales).images


def table(rows: dict[str, dict[str, Any]]) -> str:
    """A line a setting, sets side by side."""
    jobs = dict.fromkeys(key.split(": ", 1)[1] for key in rows)
    heads = [f"{name} {metric}" for name in SETS for metric in ("SSIM ↑", "LPIPS ↓", "tone ↓")]
    lines = [f"| | {' | '.join(heads)} | learning, s |", "|---" * (len(heads) + 2) + "|"]
    for job in jobs:
        found = [rows[f"{name}: {job}"] for name in SETS if f"{name}: {job}" in rows]
        cells = [f"{row[metric]:.3f}" for row in found for metric in METRICS]
        lines.append(f"| {job} | {' | '.join(cells)} | {mean(row['learning'] for row in found):.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
