"""How much a hand's measured look varies from sitter to sitter, with and without the sitter's hair taken out.

    python recipes/measure_looks.py --data ../shared/data

Prints, for every hand, the standard deviation over its pairs of the levels of `attributes.measure` and of `attributes.typical`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from oneshot_sketch.attributes import ATTRIBUTES, measure, typical
from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.exemplars import choose
from oneshot_sketch.images import to_tensor

SHOWN = ("ink", "blacks", "midtones", "tone", "background")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and fs2k/")
    args = parser.parse_args()
    print(f"| hand | pairs | {' | '.join(SHOWN)} |")
    print("|---" * (len(SHOWN) + 2) + "|")
    for name in ("hands", "fs2k"):
        protocol = replace(load_protocol(name), photos=0)
        for part in protocol.parts:
            pairs = choose(protocol, part, args.data).others
            sketches, photos = (to_tensor([getattr(pair, side) for pair in pairs]) for side in ("sketch", "photo"))
            spreads = [torch.cat([look(*both) for both in batches(sketches, photos)]).std(0) for look in (measure, typical)]
            shown = [[float(spread[ATTRIBUTES.index(name)]) for name in SHOWN] for spread in spreads]
            cells = [f"{before:.2f} → {after:.2f}" for before, after in zip(*shown, strict=True)]
            print(f"| {part.title} | {len(pairs)} | {' | '.join(cells)} |", flush=True)


def batches(*tensors: torch.Tensor) -> zip[tuple[torch.Tensor, ...]]:
    return zip(*(tensor.split(50) for tensor in tensors), strict=True)


if __name__ == "__main__":
    main()
