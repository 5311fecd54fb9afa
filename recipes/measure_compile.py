"""From how many UNet passes on does `torch.compile` pay, and bfloat16, on `mini`?

    python recipes/measure_compile.py --output runs/compile

Times passes of the UNet without gradients, at several batch sizes: as it is, compiled, and in bfloat16. What a compilation
takes is divided by what it saves a pass. Run again to resume. Writes results.json and table.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from oneshot_sketch.atomic import replacing
from oneshot_sketch.backbone import MINI

BATCHES = (1, 24)
TURNS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    record = args.output / "results.json"
    rows: dict[str, dict[str, float]] = json.loads(record.read_text()) if record.is_file() else {}
    for precision in (torch.float32, torch.bfloat16):
        unet = UNet2DConditionModel.from_pretrained(MINI / "unet", torch_dtype=precision).eval().requires_grad_(False)
        for batch in BATCHES:
            name = f"{str(precision).removeprefix('torch.')}, batch of {batch}"
            if name not in rows:
                rows[name] = measured(unet, batch)
                with replacing(record) as file:
                    file.write_text(json.dumps(rows, indent=1))
            print(name, rows[name], flush=True)
    with replacing(args.output / "table.md") as file:
        file.write_text(table(rows))
    print(table(rows))


@torch.inference_mode()
def measured(unet: Any, batch: int) -> dict[str, float]:
    """Seconds of a pass, plain and compiled in turns, and of the compilation."""
    side, channels = unet.config.sample_size, unet.config.in_channels
    x = torch.randn(batch, channels, side, side, dtype=unet.dtype)
    rows = torch.randn(batch, 40, unet.config.cross_attention_dim, dtype=unet.dtype)
    t = torch.tensor(500)
    torch.compiler.reset()
    compiled = torch.compile(unet)
    begin = time.perf_counter()
    compiled(x, t, rows)
    compilation = time.perf_counter() - begin
    unet(x, t, rows)
    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    for _ in range(TURNS):
        for name, net in (("plain", unet), ("compiled", compiled)):
            begin = time.perf_counter()
            net(x, t, rows)
            times[name].append(time.perf_counter() - begin)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    return {**seconds, "compilation": compilation}


def table(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| | plain, ms | compiled, ms | compilation, s | pays from passes |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        saved = row["plain"] - row["compiled"]
        pays = f"{row['compilation'] / saved:,.0f}" if saved > 0 else "never"
        lines.append(f"| {name} | {1000 * row['plain']:.1f} | {1000 * row['compiled']:.1f} | {row['compilation']:.0f} | {pays} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
