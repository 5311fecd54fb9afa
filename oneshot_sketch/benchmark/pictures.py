"""What the systems drew, laid side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from oneshot_sketch.benchmark.record import SIDES, Job, Record
from oneshot_sketch.benchmark.summary import Summary
from oneshot_sketch.contact_sheet import contact_sheet
from oneshot_sketch.images import open_image

COLUMNS, CASES = 8, 4


def contact_sheets(record: Record, summary: Summary, without_data: bool) -> dict[str, Image.Image]:
    """Part → what was given, the truth and every system after the first exemplar, a column a pair."""
    sheets = {}
    for part in summary.parts():
        jobs = {line.entrant: Job(part, line.entrant, 0) for line in summary.of(part)}
        jobs = {
            entrant: job
            for entrant, job in jobs.items()
            if record.has(job) and not (without_data and _shows_data(record, entrant))
        }
        if not jobs:
            continue
        photos = [row["photo"] for row in record.outcome(next(iter(jobs.values()))).images][:COLUMNS]
        rows = {} if without_data else _given(record, part, photos)
        rows |= {entrant: [record.sketch(job, photo) for photo in photos] for entrant, job in jobs.items()}
        sheets[part] = contact_sheet(rows, 128)
    return sheets


def cases(record: Record, summary: Summary, part: str, entrant: str, metric: str, without_data: bool) -> dict[str, Image.Image]:
    """The sketches of an entrant that a metric likes best and least, "best" and "worst"."""
    if without_data and _shows_data(record, entrant):
        return {}
    jobs = [job for job in record.jobs() if (job.part, job.entrant) == (part, entrant)]
    rows = [(row[metric], row["photo"], job) for job in jobs for row in record.outcome(job).images]
    rows.sort(key=lambda row: (-summary.better[metric] * row[0], row[1], row[2].exemplar))
    sheets = {}
    for name, chosen in {"best": rows[:CASES], "worst": rows[: -CASES - 1 : -1]}.items():
        given = {} if without_data else _given(record, part, [photo for _, photo, _ in chosen])
        sheets[name] = contact_sheet({**given, entrant: [record.sketch(job, photo) for _, photo, job in chosen]}, 128)
    return sheets


def _given(record: Record, part: str, photos: Sequence[str]) -> dict[str, list[Image.Image]]:
    sides = SIDES[record.settings["direction"]]
    return {kind: [open_image(record.given(part, kind, photo)) for photo in photos] for kind in sides}


def _shows_data(record: Record, entrant: str) -> bool:
    """Whether what an entrant gives are the data's own photos."""
    found = next(one for one in record.settings["entrants"] if one["title"] == entrant)
    if found["system"] == "filter":
        return found["options"].get("kind") == "grey" and not found["options"].get("tone")
    return found["system"] == "nearest_photo"
