"""Does one pair teach a hand? The protocol `hands`, and a verdict: the learned instruction against words and filters.

    python recipes/measure_transfer.py --data ../shared/data --output runs/hands

Run the same command again to resume. Ends with the report of docs/benchmark/hands.md and, for every hand, in which
measures the instruction learned from one pair is ahead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.harness import run
from oneshot_sketch.benchmark.report import report
from oneshot_sketch.benchmark.summary import Line, Summary, summarise
from oneshot_sketch.errors import InputError

LEARNED, GREY = "learned instruction", "photo as grey"
TEXTS = ("InstructPix2Pix, best text", "InstructPix2Pix, best text by LPIPS")
FILTERS = ("dodge-and-burn", "XDoG", f"{GREY}, tone matched", "dodge-and-burn, tone matched", "XDoG, tone matched")
MEASURES = ("ssim", "lpips", "tone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/, fs2k/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    try:
        record = run(load_protocol("hands"), args.data, args.output)
        print(f"Look at {report(args.output)}")
    except InputError as error:
        parser.error(str(error))
    summary = summarise(record)
    for part in summary.parts():
        lines = {line.entrant: line for line in summary.of(part)}
        print(f"\n{part}")
        rivalries = {**{text: [text] for text in TEXTS}, "every filter": FILTERS, "the photo as grey": [GREY]}
        for title, rivals in rivalries.items():
            told = (f"{key} {verdict(summary, lines[LEARNED], [lines[name] for name in rivals], key)}" for key in MEASURES)
            print(f"  against {title}: {', '.join(told)}")


def verdict(summary: Summary, learned: Line, rivals: Sequence[Line], metric: str) -> str:
    """By how much the mean is better than that of the best rival."""
    ahead = (learned.cells[metric].mean - summary.best(rivals, metric)) * summary.better[metric]
    return f"{'ahead' if ahead > 0 else 'behind'} by {abs(ahead):.3f}"


if __name__ == "__main__":
    main()
