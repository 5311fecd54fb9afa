"""What guiding by a sketch prior adds to a denoising step.

    python recipes/measure_prior_cost.py
    python recipes/measure_prior_cost.py --backbone timbrooks/instruct-pix2pix --steps 20 --rounds 5

Draws the same photo with and without guidance in alternating rounds of one run, and prints the median step of each and their
ratio; the prior sketch itself is random, for a step costs the same whatever is on it. On a CPU a step is timed by the
process's own processor time, which other work on the machine slows but does not take from.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from oneshot_sketch.pipelines.loading import load_backbone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--device", default=None, help="default CUDA where there is one")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10, help="of one drawing each way")
    parser.add_argument("--photos", type=int, default=1, help="drawn together")
    args = parser.parse_args()

    pipe: Any = load_backbone(args.backbone, args.device)
    side = pipe.native_resolution
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)) for _ in range(args.photos)]
    plane = torch.rand(args.photos, 1, side, side, generator=torch.Generator().manual_seed(0))
    prior = SimpleNamespace(sketch=2 * plane - 1, trust=plane, error=plane.mean((1, 2, 3)))
    cuda = pipe.device.type == "cuda"

    def now() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() if cuda else time.process_time()

    def steps(scale: float) -> list[float]:
        """Seconds of every step but the first, which ends with the first mark."""
        marks: list[float] = []

        def mark(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            marks.append(now())
            return tensors

        pipe(
            "pencil drawing",
            photos,
            num_inference_steps=args.steps,
            sketch_prior_scale=scale,
            prior_sketch=prior,
            generator=torch.Generator().manual_seed(0),
            callback_on_step_end=mark,
            output_type="latent",
        )
        return [later - earlier for earlier, later in pairwise(marks)]

    steps(1.0)  # warm
    found: dict[float, list[float]] = {0.0: [], 1.0: []}
    for turn in range(args.rounds):
        for scale in (0.0, 1.0) if turn % 2 else (1.0, 0.0):
            found[scale] += steps(scale)
    plain, guided = (statistics.median(found[scale]) * 1e3 for scale in (0.0, 1.0))
    result = {
        "backbone": args.backbone,
        "pixels": side,
        "photos": args.photos,
        "device": torch.cuda.get_device_name() if cuda else f"cpu, {torch.get_num_threads()} thread(s)",
        "steps": len(found[0.0]),
        "plain_ms": round(plain, 3),
        "guided_ms": round(guided, 3),
        "ratio": round(guided / plain, 4),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
