"""How much sooner 2 processes have learned 8 styles than 1, a thread each, starting up counted.

    python recipes/measure_launch.py --output runs/launch

The styles are classical filters' drawings of the bundled photo. Writes times.json and the learned instructions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor

from oneshot_sketch import filters
from oneshot_sketch.atomic import replacing
from oneshot_sketch.images import open_image, save_png, to_pil, to_tensor

ROOT = Path(__file__).parents[1]
STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "grey": filters.grey_photo,
    **{f"dodged-{sigma}": partial(filters.dodge_and_burn, sigma=sigma) for sigma in (2, 4, 8)},
    **{f"inked-{sigma}": partial(filters.xdog, sigma=sigma) for sigma in (0.7, 1.0, 1.4, 2.0)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="an empty folder")
    parser.add_argument("--max_train_steps", type=int, default=60)
    args = parser.parse_args()

    write_styles(args.output / "styles")
    seconds = {count: learn(args.output, count, args.max_train_steps) for count in (1, 2)}
    ratios = {clock: seconds[2][clock] / seconds[1][clock] for clock in seconds[1]}
    with replacing(args.output / "times.json") as part:
        part.write_text(json.dumps({"1 process": seconds[1], "2 processes": seconds[2], "ratio": ratios}, indent=1))
    for clock, ratio in ratios.items():
        print(f"{clock}: 1 process {seconds[1][clock]:.0f} s, 2 processes {seconds[2][clock]:.0f} s, ratio {ratio:.3f}")


def write_styles(folder: Path) -> None:
    photo = open_image(ROOT / "assets" / "quickstart" / "pair_photo.jpg")
    for style, draw in STYLES.items():
        save_png(photo, folder / style / "photo" / "sitter.png")
        save_png(to_pil(draw(to_tensor(photo)))[0], folder / style / "sketch" / "sitter.png")


def learn(output: Path, processes: int, steps: int) -> dict[str, float]:
    """Seconds on the wall, and of computing, which other work on the machine lengthens less."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command += [str(ROOT / "recipes" / "learn_instruction.py"), "--train_data_dir", str(output / "styles")]
    command += ["--output_dir", str(output / f"learned_by_{processes}"), "--max_train_steps", str(steps)]
    before, start = os.times(), time.monotonic()
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    wall, after = time.monotonic() - start, os.times()
    computing = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "computing, a process": computing / processes}


if __name__ == "__main__":
    main()
