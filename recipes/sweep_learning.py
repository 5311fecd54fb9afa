"""Which settings of learning pay: each change alone against the default preset, on photos no other table uses.

    python recipes/sweep_learning.py --data ../shared/data --output runs/sweep

Run the same command again to resume. Writes results.json and table.md; `--drawing` sweeps steps and scales of drawing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oneshot_sketch import PhotoSketchPair
from oneshot_sketch.atomic import replacing
from oneshot_sketch.backbone import MINI
from oneshot_sketch.benchmark import Protocol, build, load_protocol
from oneshot_sketch.benchmark.exemplars import choose
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import Part, with_paths
from oneshot_sketch.images import to_tensor

METRICS = {"ssim": "SSIM ↑", "lpips": "LPIPS ↓", "tone": "tone ↓"}
LEARNING: dict[str, dict[str, Any]] = {
    "default preset": {},
    "no tone loss": {"tone_weight": 0.0},
    "three times its weight": {"tone_weight": 24.0},
    "no FSIM loss": {"fsim_weight": 0.0},
    "half of its weight": {"fsim_weight": 8.0},
    "a shading loss (30), and FSIM at 16": {"shading_weight": 30.0, "fsim_weight": 16.0},
    "no drawings": {"drawings": 0},
    "1 drawing a step": {"drawings": 1},
    "4 drawings a step": {"drawings": 4},
    "20 steps": {"steps": 20},
    "80 steps": {"steps": 80},
    "rate 1e-2": {"learning_rate": 1e-2},
    "rate 4e-2": {"learning_rate": 4e-2},
    "8 free rows": {"rows": 8},
    "39 free rows": {"rows": 39},
    "from a plain text": {"init": "text"},
    "from an empty text": {"init": "text", "text": ""},
    "from a hard prompt": {"init": "pez", "pez_clip": str(MINI / "clip")},
    "from noise": {"init": "noise"},
    "no crops or flips": {"augmentations": 1},
    "no edit loss": {"edit_weight": 0.0},
    "loss in ε": {"weighting": "epsilon"},
    "last step kept": {"select_every": 0},
    "step of lowest loss kept": {"judge": "loss"},
    "no averaging": {"ema_decay": 0.0},
    "2 draws a step": {"draws": 2},
    "8 draws a step": {"draws": 8},
    "no squared error": {"reconstruction_weight": 0.0},
    "uniform timesteps": {"timesteps": "uniform"},
}
DRAWING = [(steps, 1.0, 1.0) for steps in (1, 2, 4, 10)]
DRAWING += [(1, 1.25, 1.0), (1, 1.2, 1.2), (1, 1.25, 1.5), (1, 1.5, 1.5), (2, 1.25, 1.5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exemplars", type=int, default=3, help="pairs of a set that are each learned from alone")
    parser.add_argument("--photos", type=int, default=14, help="photos a set")
    parser.add_argument("--drawing", action="store_true", help="sweep drawing instead of learning")
    args = parser.parse_args()

    protocol = load_protocol("hands")
    parts = [part for part in protocol.parts if part.data == "folder"]
    metrics = {m.metric: with_paths(m.options, args.data) for m in protocol.measures if m.metric in METRICS}
    record = args.output / "results.json"
    rows: dict[str, dict[str, Any]] = json.loads(record.read_text()) if record.is_file() else {}
    jobs: dict[str, dict[str, Any]] = {name: {"changes": changes} for name, changes in LEARNING.items()}
    if args.drawing:
        names = ("steps", "guidance_scale", "image_guidance_scale")
        jobs = {f"{s} steps, {t} / {i}": dict(zip(names, (s, t, i), strict=True)) for s, t, i in DRAWING}
    for part in parts:
        pairs = development(protocol, part, args.data)
        exemplars, others = pairs[: args.exemplars], pairs[args.exemplars : args.exemplars + args.photos]
        for title, options in tqdm(jobs.items(), desc=part.title):
            if f"{part.title}: {title}" in rows:
                continue
            judges, learning, drawing = {key: build_metric(key, options) for key, options in metrics.items()}, 0.0, 0.0
            for pair in exemplars:
                system = build("instruction", options)
                start = time.monotonic()
                system.learn([pair])
                learned = time.monotonic()
                sketches = system.sketch([other.photo for other in others])
                learning, drawing = learning + learned - start, drawing + time.monotonic() - learned
                for judge in judges.values():
                    judge.update(to_tensor(sketches), truths=to_tensor([other.sketch for other in others]))
            rows[f"{part.title}: {title}"] = {
                **{key: judge.compute().value for key, judge in judges.items()},
                "learning": learning / len(exemplars),
                "drawing": drawing / len(exemplars) / len(others),
            }
            with replacing(record) as file:
                file.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    with replacing(args.output / "table.md") as file:
        file.write_text(table(rows, [part.title for part in parts]))
    print(table(rows, [part.title for part in parts]))


def development(protocol: Protocol, part: Part, data: Path) -> list[PhotoSketchPair]:
    """The pairs of a part that the protocol neither learns from nor draws."""
    drawn = {pair.name for pair in choose(protocol, part, data).others}
    return [pair for pair in choose(replace(protocol, photos=0), part, data).others if pair.name not in drawn]


def table(rows: dict[str, dict[str, Any]], parts: list[str]) -> str:
    """A line a setting, sets side by side."""
    jobs = dict.fromkeys(key.split(": ", 1)[1] for key in rows)
    heads = [f"{part} {metric}" for part in parts for metric in METRICS.values()]
    lines = [f"| | {' | '.join(heads)} | learning, s | a photo, s |", "|---" * (len(heads) + 3) + "|"]
    for job in jobs:
        found = [rows[f"{part}: {job}"] for part in parts if f"{part}: {job}" in rows]
        cells = [f"{row[metric]:.3f}" for row in found for metric in METRICS]
        learning, drawing = (sum(row[cost] for row in found) / len(found) for cost in ("learning", "drawing"))
        lines.append(f"| {job} | {' | '.join(cells)} | {learning:.1f} | {drawing:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
