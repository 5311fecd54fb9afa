"""The lines of a run → the rows of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oneshot_sketch.benchmark.record import Job, Record
from oneshot_sketch.metrics.bootstrap import bootstrap_interval

ALL_STYLES = "all"


@dataclass(frozen=True)
class Cell:
    """A metric of one entrant on one part: mean and deviation over images × exemplars, 95 % interval over people.

    A number that only a set has is the mean over exemplars, without an interval.
    """

    mean: float
    deviation: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.deviation:.3f}"


@dataclass(frozen=True)
class Line:
    """One entrant on one part; `style` is one of the part's, or "all"."""

    part: str
    style: str
    entrant: str
    cells: dict[str, Cell]
    sketches: int
    learning: float
    drawing: float
    memory: float


@dataclass(frozen=True)
class Summary:
    """Lines in the protocol's order; what every metric key stands for and whether higher is better."""

    lines: list[Line]
    names: dict[str, str]
    better: dict[str, int]

    def parts(self) -> list[str]:
        return list(dict.fromkeys(line.part for line in self.lines))

    def of(self, part: str, style: str = ALL_STYLES) -> list[Line]:
        return [line for line in self.lines if (line.part, line.style) == (part, style)]

    def styles(self, part: str) -> list[str]:
        return [s for s in dict.fromkeys(line.style for line in self.lines if line.part == part) if s != ALL_STYLES]

    def best(self, lines: Sequence[Line], metric: str) -> float:
        """The best mean among lines."""
        means = [line.cells[metric].mean for line in lines if metric in line.cells]
        return (max if self.better[metric] > 0 else min)(means)


def summarise(record: Record) -> Summary:
    """All finished jobs."""
    names: dict[str, str] = {}
    better: dict[str, int] = {}
    grouped: dict[tuple[str, str], list[Job]] = {}
    for job in record.jobs():
        grouped.setdefault((job.part, job.entrant), []).append(job)
    lines = []
    for (part, entrant), jobs in grouped.items():
        outcomes = [record.outcome(job) for job in jobs]
        for outcome in outcomes:
            names |= outcome.names
            better |= outcome.better
        rows = [row for outcome in outcomes for row in outcome.images]
        styles = sorted({row["style"] for row in rows if row["style"]})
        for style in (ALL_STYLES, *(styles if len(styles) > 1 else ())):
            those = [row for row in rows if style in (ALL_STYLES, row["style"])]
            cells = {key: _cell(those, key) for key in names if key in those[0]}
            if style == ALL_STYLES:
                cells |= {key: _whole([outcome.whole[key] for outcome in outcomes]) for key in outcomes[0].whole}
            costs = ([getattr(outcome, cost) for outcome in outcomes] for cost in ("learning", "drawing", "memory"))
            learning, drawing, memory = (float(np.mean(cost)) for cost in costs)
            lines.append(Line(part, style, entrant, cells, len(those), learning, drawing, memory))
    return Summary(lines, names, better)


def _cell(rows: Sequence[Mapping[str, Any]], key: str) -> Cell:
    values, people = [row[key] for row in rows], [row["identity"] for row in rows]
    interval = bootstrap_interval(values, people) if len(set(people)) > 1 else None
    return Cell(float(np.mean(values)), float(np.std(values)), interval)


def _whole(values: Sequence[float]) -> Cell:
    return Cell(float(np.mean(values)), float(np.std(values)), None)
