"""What the benchmark's harness costs: a run against a plain loop over the same systems and metrics.

    python recipes/measure_harness.py --data ../shared/data --output runs/harness

Both are done in one process, the plain loop first and last, in seconds of the processor, which other work does not take.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark import Protocol, build, load_protocol
from oneshot_sketch.benchmark.exemplars import choose
from oneshot_sketch.benchmark.harness import judge, run
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import with_paths
from oneshot_sketch.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/ and weights/")
    parser.add_argument("--output", type=Path, required=True, help="a folder that does not exist yet")
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} exists; give a new folder, so that nothing is done already.")
    whole = load_protocol("ablations")
    protocol = replace(whole, parts=whole.parts[:1], exemplars=1)
    try:
        systems, judging = bare(protocol, args.data)
        start = time.process_time()
        run(protocol, args.data, args.output)
        harness = time.process_time() - start
        again = bare(protocol, args.data)
    except InputError as error:
        parser.error(str(error))
    plain = (systems + judging + sum(again)) / 2
    figures = {"systems": systems, "judging": judging, "plain loop": plain, "harness": harness, "ratio": harness / plain}
    with replacing(args.output / "cost.json") as part:
        part.write_text(json.dumps(figures, indent=1))
    print("\n".join(f"{name}: {value:.3f}" for name, value in figures.items()))


def bare(protocol: Protocol, data: Path) -> tuple[float, float]:
    """Processor seconds of learning and drawing, and of judging, with no record kept."""
    systems = judging = 0.0
    for part in protocol.parts:
        chosen = choose(protocol, part, data)
        photos = [pair.photo for pair in chosen.others]
        for k in range(protocol.exemplars):
            for entrant in protocol.entrants:
                start = time.process_time()
                system = build(entrant.system, with_paths(entrant.options, data))
                system.learn(chosen.exemplar(k, entrant.pairs or protocol.pairs))
                sketches = system.sketch(photos)
                drawn = time.process_time()
                for measure in protocol.measures:
                    judge(build_metric(measure.metric, with_paths(measure.options, data)), sketches, chosen)
                systems, judging = systems + drawn - start, judging + time.process_time() - drawn
    return systems, judging


if __name__ == "__main__":
    main()
