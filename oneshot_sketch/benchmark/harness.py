"""Protocol × systems → one line an image, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from oneshot_sketch.benchmark.cost import Cost
from oneshot_sketch.benchmark.environment import environment
from oneshot_sketch.benchmark.exemplars import Chosen, choose
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.protocol import Direction, Entrant, Protocol, with_paths
from oneshot_sketch.benchmark.record import SIDES, Job, Outcome, Record
from oneshot_sketch.benchmark.system import PhotoSystem, System, Unavailable, build
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import save_png, to_tensor
from oneshot_sketch.metrics import LpipsDiversity, Metric

BATCH = 10


def run(protocol: Protocol, data: Path, output: Path, only: Sequence[str] = (), progress: bool = True) -> Record:
    """Run what is not done yet.

    Args:
        data: folder that the protocol's parts lie in.
        output: folder of the run; a run that was stopped goes on there.
        only: titles of the entrants to run; default all.

    Raises:
        InputError: absent data, an unknown system, metric or title, or an output of another run.
    """
    if unknown := sorted(set(only) - {entrant.title for entrant in protocol.entrants}):
        raise InputError(f"no entrant is called {unknown[0]!r}; there are {', '.join(e.title for e in protocol.entrants)}.")
    entrants = [entrant for entrant in protocol.entrants if not only or entrant.title in only]
    absent = _unavailable(entrants, protocol.direction, data)
    judges, unjudged = _judges(protocol, data)
    record = Record(output, protocol)
    record.absent({**absent, **unjudged})
    record.environment(environment())
    for part in protocol.parts:
        todo = [
            (entrant, job)
            for k in range(protocol.exemplars)
            for entrant in entrants
            if entrant.title not in absent and not record.has(job := Job(part.title, entrant.title, k))
        ]
        if not todo:
            continue
        chosen = choose(protocol, part, data)
        for kind, pictures in zip(SIDES[protocol.direction], (chosen.given, chosen.truths), strict=True):
            for pair, picture in zip(chosen.others, pictures, strict=True):
                if not (path := record.given(part.title, kind, pair.name)).is_file():
                    save_png(picture, path)
        for entrant, job in tqdm(todo, desc=part.title, unit="job", disable=not progress):
            outcome, sketches = compete(entrant, job, chosen, protocol, data, judges)
            record.keep(job, outcome, sketches)
    return record


def compete(
    entrant: Entrant, job: Job, chosen: Chosen, protocol: Protocol, data: Path, judges: Sequence[str]
) -> tuple[Outcome, list[Image.Image]]:
    """Build, learn, make, judge."""
    system: Any = build(entrant.system, with_paths(entrant.options, data))
    with Cost() as learning:
        system.learn(chosen.exemplar(job.exemplar, entrant.pairs or protocol.pairs))
    with Cost() as drawing:
        sketches = _made(system, chosen.given, protocol.direction)
    _check(sketches, chosen.given, entrant.title, protocol.direction)
    metrics = {
        measure.metric: build_metric(measure.metric, with_paths(measure.options, data))
        for measure in protocol.measures
        if measure.metric in judges
    }
    people = zip(chosen.others, chosen.identities, strict=True)
    images = [{"photo": pair.name, "identity": identity, "style": pair.style} for pair, identity in people]
    whole: dict[str, float] = {}
    for key, metric in metrics.items():
        if isinstance(metric, LpipsDiversity):
            value, each = judge_diversity(metric, system, chosen, protocol.images)
        else:
            value, each = judge(metric, sketches, chosen)
        if each is None:
            whole[key] = value
            continue
        for row, number in zip(images, each, strict=True):
            row[key] = round(number, 6)
    outcome = Outcome(
        learning=round(learning.seconds, 3),
        drawing=round(drawing.seconds / len(sketches), 4),
        memory=round(max(learning.memory, drawing.memory), 1),
        names={key: metric.name for key, metric in metrics.items()},
        better={key: 1 if metric.higher_is_better else -1 for key, metric in metrics.items()},
        whole={key: round(value, 6) for key, value in whole.items()},
        images=images,
    )
    return outcome, sketches


def judge(metric: Metric, sketches: Sequence[Image.Image], chosen: Chosen) -> tuple[float, tuple[float, ...] | None]:
    """The number of the set, and those of the pictures if they have any."""
    for start in range(0, len(sketches), BATCH):
        batch = slice(start, start + BATCH)
        metric.update(
            to_tensor(sketches[batch]),
            truths=to_tensor(chosen.truths[batch]),
            photos=to_tensor(chosen.given[batch]),
            identities=chosen.identities[batch],
        )
    score = metric.compute()
    return score.value, score.per_image


def judge_diversity(metric: LpipsDiversity, system: Any, chosen: Chosen, images: int) -> tuple[float, tuple[float, ...] | None]:
    """As `judge`, over several photos of each sketch."""
    for photos in system.photograph(chosen.given, images):
        metric.update(to_tensor(photos))
    score = metric.compute()
    return score.value, score.per_image


def _made(system: Any, given: Sequence[Image.Image], direction: Direction) -> list[Image.Image]:
    if direction == "photo-to-sketch":
        return system.sketch(given)
    return [photos[0] for photos in system.photograph(given, 1)]


def _unavailable(entrants: Sequence[Entrant], direction: Direction, data: Path) -> dict[str, str]:
    """Entrants whose weights are not here; building all of them first also finds mistakes before hours are spent."""
    reasons = {}
    for entrant in entrants:
        try:
            system = build(entrant.system, with_paths(entrant.options, data))
        except Unavailable as reason:
            reasons[entrant.title] = str(reason)
            continue
        if not isinstance(system, System if direction == "photo-to-sketch" else PhotoSystem):
            raise InputError(f"the system {entrant.system!r} does not go {direction.replace('-', ' ')}; leave it out.")
    return reasons


def _judges(protocol: Protocol, data: Path) -> tuple[list[str], dict[str, str]]:
    judges, reasons = [], {}
    for measure in protocol.measures:
        try:
            metric = build_metric(measure.metric, with_paths(measure.options, data))
            if isinstance(metric, LpipsDiversity) and protocol.images < 2:
                raise InputError(f"{measure.metric} compares several photos of one sketch; give the protocol images = 2 or more.")
            judges.append(measure.metric)
        except Unavailable as reason:
            reasons[measure.metric] = str(reason)
    return judges, reasons


def _check(made: Sequence[Image.Image], given: Sequence[Image.Image], title: str, direction: Direction) -> None:
    if [picture.size for picture in made] != [picture.size for picture in given]:
        source, result = direction.split("-to-")
        raise InputError(f"the system {title!r} must return one {result} a {source}, of the {source}'s size.")
