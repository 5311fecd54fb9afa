"""What a sketch costs and what it is worth: samplers, steps, guidance and companions on one table.

    python recipes/measure_drawing.py --data ../shared/data --output runs/drawing

One hand, instructions learned from one pair each, drawn for photos that neither backbone nor benchmark saw. Run the same
command again to resume. Writes results.json and table.md; seconds are of the processor, not of the clock.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import diffusers
from sweep_learning import development

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
)
from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import with_paths
from oneshot_sketch.benchmark.rivals.networks import drawn
from oneshot_sketch.images import to_tensor

METRICS = ("ssim", "lpips", "tone")
LEARNING: dict[str, dict[str, Any]] = {
    "learned": {},
    "rank 1": {"companion_rank": 1},
    "rank 4": {"companion_rank": 4},
    "rank 4, fast": {"companion_rank": 4, "companion_rate": 5e-3},
}
SAMPLERS = {
    "DDIM": "DDIMScheduler",
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "LCM": "LCMScheduler",
}
GUIDED, FREE = (1.25, 1.5), (1.0, 1.0)
# Instruction, sampler, steps, scales.
DRAWING: list[tuple[str, str, int, tuple[float, float]]] = [
    *(("learned", "DDIM", steps, GUIDED) for steps in (20, 2, 1)),
    *(("learned", "DDIM", steps, FREE) for steps in (20, 10, 4, 2, 1)),
    *(("learned", sampler, 4, FREE) for sampler in list(SAMPLERS)[1:]),
    *((name, "DDIM", 1, FREE) for name in LEARNING if name.startswith("rank")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--part", type=int, default=0, help="of the protocol hands: 0 is CUFS student, 1 CUFS AR")
    parser.add_argument("--exemplars", type=int, default=2)
    parser.add_argument("--photos", type=int, default=14)
    args = parser.parse_args()

    protocol = load_protocol("hands")
    pairs = development(protocol, protocol.parts[args.part], args.data)
    exemplars, others = pairs[: args.exemplars], pairs[args.exemplars : args.exemplars + args.photos]
    metrics = {m.metric: with_paths(m.options, args.data) for m in protocol.measures if m.metric in METRICS}
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    record = args.output / "results.json"
    rows: dict[str, dict[str, Any]] = json.loads(record.read_text()) if record.is_file() else {}
    plain = pipe.scheduler
    for name, sampler, steps, scales in DRAWING:
        title = f"{name} | {sampler} | {steps} | {scales[0]:g} / {scales[1]:g}"
        if title in rows:
            continue
        learned = [learn(pipe, name, pair, args.output / f"{name}_{i}".replace(" ", "_")) for i, pair in enumerate(exemplars)]
        pipe.scheduler = getattr(diffusers, SAMPLERS[sampler]).from_config(plain.config)
        judges = {key: build_metric(key, options) for key, options in metrics.items()}
        start = time.process_time()
        sketches = [sketched(pipe, instruction, [o.photo for o in others], steps, scales) for instruction in learned]
        seconds = (time.process_time() - start) / len(exemplars) / len(others)
        for pictures in sketches:
            for judge in judges.values():
                judge.update(to_tensor(pictures), truths=to_tensor([o.sketch for o in others]))
        text, image = scales
        branches = 1 if text == image == 1 else sum(weight != 0 for weight in (text, image - text, 1 - image))
        rows[title] = {"passes": steps * branches, "seconds": seconds}
        rows[title] |= {key: judge.compute().value for key, judge in judges.items()}
        print(title, rows[title], flush=True)
        with replacing(record) as file:
            file.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    lines = [
        "| instruction | sampler | steps | scales | UNet passes | SSIM ↑ | LPIPS ↓ | tone ↓ | a photo, s |",
        "|---" * 9 + "|",
    ]
    for title, row in rows.items():
        quality = " | ".join(f"{row[metric]:.3f}" for metric in METRICS)
        lines.append(f"| {title} | {row['passes']} | {quality} | {row['seconds']:.2f} |")
    table = "\n".join(lines)
    with replacing(args.output / "table.md") as file:
        file.write_text(table + "\n")
    print(table)


def learn(pipe: OneShotSketchPipeline, name: str, pair: Any, folder: Path) -> LearnedInstruction:
    """Learned once, then read from `folder`."""
    if not folder.is_dir():
        learner = InstructionLearner(
            FrozenInstructPix2Pix.from_pipeline(pipe, "mini"), InstructionLearnerConfig(**LEARNING[name])
        )
        start = time.process_time()
        instruction = learner.learn(pair, progress=False)
        seconds = time.process_time() - start
        instruction.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        print(f"{folder.name}: {seconds:.0f} s, {size / 1024:.0f} KiB, {dict(instruction.record.losses)}", flush=True)
    return LearnedInstruction.from_pretrained(folder)


def sketched(
    pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photos: list[Any], steps: int, scales: tuple[float, float]
) -> list[Any]:
    pipe.load_instruction(instruction)
    text, image = scales
    sketches = drawn(pipe, photos, seed=0, num_inference_steps=steps, guidance_scale=text, image_guidance_scale=image)
    pipe.unload_instruction()
    return sketches


if __name__ == "__main__":
    main()
