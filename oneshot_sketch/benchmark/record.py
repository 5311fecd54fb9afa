"""What a run leaves on disk: a file a job, whole or absent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from oneshot_sketch.atomic import replacing
from oneshot_sketch.benchmark.protocol import Protocol, from_table
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import open_image, save_png

# by direction, what systems are given and what they are held against, as pictures and their rows are called
SIDES = {"photo-to-sketch": ("photo", "artist"), "sketch-to-photo": ("sketch", "photo")}


@dataclass(frozen=True)
class Job:
    """One entrant on one part after one exemplar."""

    part: str
    entrant: str
    exemplar: int

    @property
    def path(self) -> Path:
        return Path(slug(self.part)) / slug(self.entrant) / str(self.exemplar)


@dataclass(frozen=True)
class Outcome:
    """What a job gave.

    Attributes:
        learning: seconds to learn.
        drawing: seconds a picture.
        memory: peak of the process, or of the GPU's allocations, in MiB.
        names: of the metrics, by their key in the protocol.
        better: 1 where higher is better, −1 where lower is.
        whole: numbers that only the set has.
        images: a row a picture: the pair's name as photo, identity, style, and the numbers every picture has.
    """

    learning: float
    drawing: float
    memory: float
    names: dict[str, str]
    better: dict[str, int]
    whole: dict[str, float]
    images: list[dict[str, Any]]


class Record:
    """The folder of a run.

    Raises:
        InputError: it holds a run of another protocol. New entrants may be added to a run; a known one may not change.
    """

    def __init__(self, folder: Path, protocol: Protocol | None = None) -> None:
        self.folder = folder
        file = folder / "protocol.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        if known is not None:  # a run of an earlier version gets the defaults of what protocols could not say then
            known = _as_json(from_table(known, file).settings())
        if protocol is None:
            if known is None:
                raise InputError(f"{folder} holds no run; give the --output of a benchmark run.")
            self.settings: dict[str, Any] = known
            return
        self.settings = _as_json(protocol.settings())
        if known is not None:
            entrants = {e["title"]: e for e in known["entrants"]} | {e["title"]: e for e in self.settings["entrants"]}
            changed = [e["title"] for e in known["entrants"] if entrants[e["title"]] != e]
            if changed or any(known[key] != self.settings[key] for key in known if key != "entrants"):
                what = f"entrant {changed[0]!r}" if changed else "settings"
                raise InputError(f"{folder} holds a run of this protocol with other {what}; choose another --output.")
            self.settings["entrants"] = list(entrants.values())
        with replacing(file) as part:
            part.write_text(json.dumps(self.settings, indent=1, ensure_ascii=False), encoding="utf-8")

    def has(self, job: Job) -> bool:
        return self._file(job).is_file()

    def keep(self, job: Job, outcome: Outcome, sketches: Sequence[Image.Image]) -> None:
        """The pictures, and last the numbers, whose presence says that the job is done."""
        for row, sketch in zip(outcome.images, sketches, strict=True):
            save_png(sketch, self.picture(job, row["photo"]))
        head = {key: value for key, value in asdict(outcome).items() if key != "images"}
        lines = [{**asdict(job), **head}, *outcome.images]
        with replacing(self._file(job)) as part:
            part.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")

    def outcome(self, job: Job) -> Outcome:
        head, *images = (json.loads(line) for line in self._file(job).read_text(encoding="utf-8").splitlines())
        return Outcome(images=images, **{key: value for key, value in head.items() if key not in asdict(job)})

    def jobs(self) -> Iterator[Job]:
        """Those that are done, in the protocol's order."""
        for part in self.settings["parts"]:
            for entrant in self.settings["entrants"]:
                for k in range(self.settings["exemplars"]):
                    job = Job(part["title"], entrant["title"], k)
                    if self.has(job):
                        yield job

    def picture(self, job: Job, photo: str) -> Path:
        return self.folder / "sketches" / job.path / f"{slug(photo)}.png"

    def given(self, part: str, kind: str, photo: str) -> Path:
        """Where a picture of one of the `SIDES` was copied, for the report's pictures."""
        return self.folder / "given" / slug(part) / kind / f"{slug(photo)}.png"

    def sketch(self, job: Job, photo: str) -> Image.Image:
        return open_image(self.picture(job, photo))

    def absent(self, reasons: dict[str, str] | None = None) -> dict[str, str]:
        """Entrants that did not run, and why; with `reasons`, keeps them."""
        file = self.folder / "not_run.json"
        if reasons is not None:
            with replacing(file) as part:
                part.write_text(json.dumps(reasons, indent=1, ensure_ascii=False), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def environment(self, found: dict[str, str] | None = None) -> dict[str, str]:
        """Where the run began; `found` is kept unless that is known already."""
        file = self.folder / "environment.json"
        if found is not None and not file.is_file():
            with replacing(file) as part:
                part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def _file(self, job: Job) -> Path:
        return self.folder / "results" / job.path.with_suffix(".jsonl")


def slug(title: str) -> str:
    """A file name for a title; titles that differ only in signs get different ones."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return plain if plain == title else f"{plain[:60]}-{sha256(title.encode()).hexdigest()[:6]}"


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
