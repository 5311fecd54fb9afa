"""One self-contained HTML page: sortable tables, pictures, and all that is needed to reproduce them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from oneshot_sketch.benchmark import paper
from oneshot_sketch.benchmark.environment import made_with
from oneshot_sketch.benchmark.pictures import cases
from oneshot_sketch.benchmark.record import Record
from oneshot_sketch.benchmark.summary import ALL_STYLES, Line, Summary

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: .6em 0 1.4em; display: block; overflow-x: auto }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
th { cursor: pointer; user-select: none } th[aria-sort]::after { content: " ▾" } th[aria-sort=ascending]::after { content: " ▴" }
td.best { font-weight: 600 } small { color: #777 } img { max-width: 100%; display: block; margin: .5em 0 }
details { margin: .6em 0 } summary { cursor: pointer }
"""
SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const number = row => key(row) === "" ? Infinity : Number(key(row));
    const rows = [...body.rows].sort((a, b) => column ? number(a) - number(b) : key(a).localeCompare(key(b)));
    if (!up) rows.reverse();
    body.append(...rows);
  }));
}
"""


def page(
    record: Record, summary: Summary, absent: Mapping[str, str], sheets: Mapping[str, Image.Image], without_data: bool
) -> str:
    """The page as text; nothing in it is loaded from elsewhere."""
    settings = record.settings
    body = [f"<h1>{escape(settings['title'])}</h1>", f"<p>{escape(settings['about'].strip())}</p>"]
    for part in summary.parts():
        body.append(f"<h2>{escape(part)}</h2>")
        body.append(_table(summary, summary.of(part, ALL_STYLES)))
        for style in summary.styles(part):
            body.append(f"<h3>{escape(part)}, {escape(style)}</h3>{_table(summary, summary.of(part, style))}")
        if part in sheets:
            body.append(_image(sheets[part], f"{part}: what every system made"))
        body += _cases(record, summary, part, without_data)
    body.append("<h2>What the numbers are</h2><ul>")
    body += [f"<li><b>{escape(key)}</b>: {escape(name)}</li>" for key, name in summary.names.items()]
    body.append(
        "<li>Mean ± standard deviation over images × exemplars; in brackets the 95 % bootstrap interval of the mean, people "
        "drawn with replacement.</li></ul>"
    )
    if absent:
        body.append("<h2>Not run</h2><ul>")
        body += [f"<li><b>{escape(title)}</b>: {escape(reason)}</li>" for title, reason in absent.items()]
        body.append("</ul>")
    if settings["direction"] == "photo-to-sketch":
        body.append(f"<h2>{escape(paper.TITLE)}</h2><p>{escape(paper.CAUTION)}</p>{_paper()}")
    reproduce = escape(json.dumps(settings, indent=1, ensure_ascii=False))
    body.append(f"<h2>To reproduce</h2><p>{escape(made_with(record.environment()))}</p>")
    body.append(f"<details><summary>The protocol</summary><pre>{reproduce}</pre></details>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(settings['title'])}</title><style>{STYLE}</style></head><body>{''.join(body)}"
        f"<script>{SORT}</script></body></html>\n"
    )


def _table(summary: Summary, lines: Sequence[Line]) -> str:
    shown = [key for key in summary.names if any(key in line.cells for line in lines)]
    heads = ["system", *(f"{key} {'↑' if summary.better[key] > 0 else '↓'}" for key in shown)]
    heads += ["learning, s", "a photo, s", "memory, MiB"]
    rows = []
    for line in lines:
        cells = [f"<td>{escape(line.entrant)}</td>"]
        for key in shown:
            cell = line.cells.get(key)
            if cell is None:
                cells.append('<td data-value="">–</td>')
                continue
            best = ' class="best"' if cell.mean == summary.best(lines, key) else ""
            interval = f" <small>[{cell.interval[0]:.3f}, {cell.interval[1]:.3f}]</small>" if cell.interval else ""
            cells.append(f'<td data-value="{cell.mean!r}"{best}>{cell}{interval}</td>')
        for value, digits in ((line.learning, 1), (line.drawing, 3), (line.memory, 0)):
            cells.append(f'<td data-value="{value!r}">{value:.{digits}f}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _rows(heads, rows)


def _paper() -> str:
    def cell(value: Any) -> str:
        return '<td data-value="">–</td>' if value is None else f"<td>{escape(str(value))}</td>"

    return _rows(paper.COLUMNS, [f"<tr>{''.join(map(cell, row))}</tr>" for row in paper.ROWS])


def _rows(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in heads)
    return f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _cases(record: Record, summary: Summary, part: str, without_data: bool) -> list[str]:
    lines = summary.of(part)
    metric = next((key for key in summary.names if any(key in line.cells and line.cells[key].interval for line in lines)), None)
    if metric is None:
        return []
    out = [f"<details><summary>Best and worst of every system by {escape(metric)}</summary>"]
    for line in lines:
        for name, sheet in cases(record, summary, part, line.entrant, metric, without_data).items():
            out.append(f"<p>{escape(line.entrant)}: {name}</p>{_image(sheet, f'{line.entrant}, {name}')}")
    return [*out, "</details>"]


def _image(image: Image.Image, words: str) -> str:
    data = io.BytesIO()
    image.convert("L" if _is_grey(image) else "RGB").save(data, "JPEG", quality=88)
    return f'<img alt="{escape(words)}" src="data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}">'


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.convert("RGB").split()
    return red.tobytes() == green.tobytes() == blue.tobytes()
