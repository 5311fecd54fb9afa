"""A run → Markdown and CSV tables, contact sheets, and one HTML page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark import paper
from oneshot_sketch.benchmark.environment import made_with
from oneshot_sketch.benchmark.page import page
from oneshot_sketch.benchmark.pictures import contact_sheets
from oneshot_sketch.benchmark.record import Record, slug
from oneshot_sketch.benchmark.summary import ALL_STYLES, Line, Summary, summarise
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import save_png


def report(folder: Path, without_data: bool = False) -> Path:
    """Write table.md, table.csv, sheets/ and report.html into the folder of a run; returns the page.

    Args:
        without_data: leave the data's own photos and sketches out of all pictures, so that the report may be published
            where the data may not.

    Raises:
        InputError: no run, or none of its jobs is done.
    """
    record = Record(folder)
    summary = summarise(record)
    if not summary.lines:
        raise InputError(f"no job of the run in {folder} is done; run it first.")
    absent = record.absent()
    _write(folder / "table.md", markdown(record, summary, absent))
    _write(folder / "table.csv", table_csv(summary))
    sheets = contact_sheets(record, summary, without_data)
    for part, sheet in sheets.items():
        save_png(sheet, folder / "sheets" / f"{slug(part)}.png")
    _write(folder / "report.html", page(record, summary, absent, sheets, without_data))
    return folder / "report.html"


def markdown(record: Record, summary: Summary, absent: dict[str, str]) -> str:
    """A table a part; the best number of every column is bold, and what is behind every number is said below."""
    settings = record.settings
    text = [f"# {settings['title']}\n", settings["about"].strip(), "", how(settings), ""]
    for part in summary.parts():
        for style in (ALL_STYLES, *summary.styles(part)):
            text += [f"## {part}{'' if style == ALL_STYLES else f', {style}'}\n", *_table(summary, summary.of(part, style)), ""]
    text += ["## What the numbers are\n", *(f"- `{key}`: {name}" for key, name in summary.names.items()), ""]
    if absent:
        text += ["## Not run\n", *(f"- {title}: {reason}" for title, reason in absent.items()), ""]
    if settings["direction"] == "photo-to-sketch":
        text += [f"## {paper.TITLE}\n", paper.CAUTION, "", f"| {' | '.join(paper.COLUMNS)} |", "|---" * len(paper.COLUMNS) + "|"]
        text += [*(f"| {' | '.join('–' if cell is None else str(cell) for cell in row)} |" for row in paper.ROWS), ""]
    text += [
        "## To reproduce\n",
        made_with(record.environment()),
        "",
        "```json",
        json.dumps(settings, indent=1, ensure_ascii=False),
        "```",
    ]
    return "\n".join(text) + "\n"


def how(settings: dict[str, object]) -> str:
    """One sentence on what was done."""

    def times(count: object, word: str) -> str:
        return f"{count} {word}" if count == 1 else f"{count} {word}s"

    count = settings["photos"] or "all"
    backward = settings["direction"] == "sketch-to-photo"
    made = f"making photos of {count} other sketches" if backward else f"drawing {count} other photos"
    return (
        f"Learned from {times(settings['pairs'], 'pair')}, {times(settings['exemplars'], 'time')} over, each time {made} at "
        f"{settings['size']} pixels. Mean ± standard deviation over images × exemplars; in brackets the 95 % bootstrap interval "
        "of the mean, people drawn with replacement."
    )


def table_csv(summary: Summary) -> str:
    """One line an entrant, part and style; every number in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = ("mean", "deviation", "low", "high")
    columns = [f"{key} {figure}" for key in summary.names for figure in figures]
    writer.writerow(["part", "style", "entrant", "sketches", *columns, "learning s", "drawing s", "memory MiB"])
    for line in summary.lines:
        cells: list[object] = []
        for key in summary.names:
            cell = line.cells.get(key)
            cells += [""] * 4 if cell is None else [cell.mean, cell.deviation, *(cell.interval or ("", ""))]
        writer.writerow(
            [line.part, line.style, line.entrant, line.sketches, *cells, line.learning, line.drawing, line.memory],
        )
    return out.getvalue()


def _table(summary: Summary, lines: Sequence[Line]) -> list[str]:
    shown = [key for key in summary.names if any(key in line.cells for line in lines)]
    heads = [f"{key} {'↑' if summary.better[key] > 0 else '↓'}" for key in shown]
    rows = [
        f"| system | {' | '.join(heads)} | learning, s | a photo, s | memory, MiB |",
        "|---" * (len(shown) + 4) + "|",
    ]
    for line in lines:
        cells = []
        for key in shown:
            cell = line.cells.get(key)
            best = cell is not None and cell.mean == summary.best(lines, key)
            interval = f" [{cell.interval[0]:.3f}, {cell.interval[1]:.3f}]" if cell is not None and cell.interval else ""
            cells.append("–" if cell is None else f"{'**' if best else ''}{cell}{'**' if best else ''}{interval}")
        costs = f"{line.learning:.1f} | {line.drawing:.3f} | {line.memory:.0f}"
        rows.append(f"| {line.entrant} | {' | '.join(cells)} | {costs} |")
    return rows


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
