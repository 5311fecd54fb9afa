"""Quality against UNet passes: the default preset and the paper's on one curve, on photos no other table uses.

    python recipes/measure_learning_curve.py --data ../shared/data --output runs/curve

A draw counts as one pass (forward and backward), and so does a forward pass that searches for the start or judges a step. The
paper's hard prompt needs a CLIP that is not at hand, so its preset starts from a plain text. Run again to resume; writes
curve.json and curve.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sweep_learning import METRICS, development
from tqdm import tqdm

from oneshot_sketch import (
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import with_paths
from oneshot_sketch.benchmark.rivals.networks import drawn
from oneshot_sketch.images import to_tensor
from oneshot_sketch.learners.material import SHOWN

# name → preset, changes, steps at which the instruction as it then is draws the photos
CURVES: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "default": ("default", {}, (1, 10, 20, 40)),
    "default, four times as long": ("default", {"steps": 160}, (40, 80, 160)),
    "default, without drawings": ("default", {"drawings": 0}, (20, 40)),
    "paper": ("paper", {"init": "text"}, (1, 100, 300, 1000, 3000, 6000, 12_000)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--exemplars", type=int, default=2, help="pairs of a set that are each learned from alone")
    parser.add_argument("--photos", type=int, default=12, help="photos a set")
    args = parser.parse_args()

    protocol = load_protocol("hands")
    metrics = {m.metric: with_paths(m.options, args.data) for m in protocol.measures if m.metric in METRICS}
    record = args.output / "curve.json"
    rows: dict[str, dict[str, float]] = json.loads(record.read_text()) if record.is_file() else {}
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    for part in (part for part in protocol.parts if part.data == "folder"):
        pairs = development(protocol, part, args.data)
        others = pairs[args.exemplars : args.exemplars + args.photos]
        for name in CURVES:
            for number, pair in enumerate(pairs[: args.exemplars]):
                key = f"{part.title}: {name}: {number}"
                if key in rows:
                    continue
                found = learned(name, pair)
                rows[key] = {
                    f"{passes} {metric}": score
                    for passes, instruction in tqdm(found.items(), desc=key)
                    for metric, score in judged(pipe, instruction, others, metrics).items()
                }
                with replacing(record) as file:
                    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    with replacing(args.output / "curve.md") as file:
        file.write_text(table(rows))
    print(table(rows))


def learned(name: str, pair: PhotoSketchPair) -> dict[int, LearnedInstruction]:
    """UNet passes, in those of a picture of learning's size → the instruction that so many gave."""
    preset, changes, steps = CURVES[name]
    learner = InstructionLearner.from_pretrained("mini", InstructionLearnerConfig.preset(preset, **changes))
    config, larger = learner.config, (learner.backbone.drawing_resolution / learner.backbone.resolution) ** 2
    looked_at = SHOWN if config.judge == "likeness" or config.drawings else 0
    judgements = (config.grid + looked_at * larger) / config.select_every if config.select_every else 0.0
    found: dict[int, LearnedInstruction] = {}

    def keep(state: Any) -> None:
        if state.step in steps:
            found[round(state.step * (config.draws + config.drawings * larger + judgements))] = state.instruction()

    learner.learn(pair, callback=keep)
    return found


def judged(
    pipe: OneShotSketchPipeline, instruction: LearnedInstruction, others: list[PhotoSketchPair], metrics: dict[str, Any]
) -> dict[str, float]:
    pipe.load_instruction(instruction, "curve")
    sketches = drawn(pipe, [pair.photo for pair in others], seed=0)
    pipe.unload_instruction("curve")
    scores = {}
    for key, options in metrics.items():
        judge = build_metric(key, options)
        judge.update(to_tensor(sketches), truths=to_tensor([pair.sketch for pair in others]))
        scores[key] = judge.compute().value
    return scores


def table(rows: dict[str, dict[str, float]]) -> str:
    """A line a preset and number of passes, means over exemplars, sets side by side."""
    parts, names = ([*dict.fromkeys(key.split(": ")[i] for key in rows)] for i in (0, 1))
    head = " | ".join(f"{part} {metric}" for part in parts for metric in METRICS.values())
    lines = [f"| preset | passes | {head} |", "|---" * (2 + len(parts) * len(METRICS)) + "|"]
    for name in names:
        passes = [*dict.fromkeys(int(k.split()[0]) for key, row in rows.items() if key.split(": ")[1] == name for k in row)]
        for count in passes:
            cells = []
            for part in parts:
                of = [row for key, row in rows.items() if key.split(": ")[:2] == [part, name]]
                cells += [f"{sum(row[f'{count} {metric}'] for row in of) / len(of):.3f}" if of else "" for metric in METRICS]
            lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
