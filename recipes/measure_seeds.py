"""Is one pair ahead of words whatever the random numbers? The protocol `seeds`, and differences with their intervals.

    python recipes/measure_seeds.py --data ../shared/data --output runs/seeds

Run the same command again to resume. Ends with a table: a text's mean over seeds, exemplars and photos, the learned
instruction's, and the 95 % bootstrap interval of the difference, photo by photo, over people. An interval without 0 says that
one of the two is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure_transfer import LEARNED, MEASURES, TEXTS

from oneshot_sketch.benchmark import load_protocol
from oneshot_sketch.benchmark.harness import run
from oneshot_sketch.benchmark.record import Record
from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import bootstrap_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/, fs2k/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    try:
        record = run(load_protocol("seeds"), args.data, args.output)
    except InputError as error:
        parser.error(str(error))
    print("| | | text | learned | learned − text |\n|---|---|---|---|---|")
    for line in table(record):
        print(line)


def table(record: Record) -> Iterator[str]:
    """A line a part, text and measure."""
    images = of_titles(record)
    for part in dict.fromkeys(part for part, _ in images):
        learned = images[part, LEARNED]
        for text in TEXTS:
            rivals = images[part, text]
            for measure in MEASURES:
                ours, theirs = (np.array([rows[key][measure] for key in learned]) for rows in (learned, rivals))
                low, high = bootstrap_interval((ours - theirs).tolist(), [learned[key]["identity"] for key in learned])
                means = f"{theirs.mean():.4f} | {ours.mean():.4f} | {(ours - theirs).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
                yield f"| {part} | {measure}, {text} | {means} |"


def of_titles(record: Record) -> dict[tuple[str, str], dict[tuple[str, int, str], dict[str, Any]]]:
    """By part and title without its seed: the rows of all pictures, by seed, exemplar and photo."""
    found: dict[tuple[str, str], dict[tuple[str, int, str], dict[str, Any]]] = {}
    for job in record.jobs():
        title, seed = job.entrant.split(", seed ")
        rows = found.setdefault((job.part, title), {})
        rows |= {(seed, job.exemplar, row["photo"]): row for row in record.outcome(job).images}
    return found


if __name__ == "__main__":
    main()
