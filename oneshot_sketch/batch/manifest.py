"""The record of a run: one row a photo, in SQLite.

SQLite rather than JSON lines: a photo sketched again replaces its row instead of adding one, a million rows are looked up
without being held in memory, and a batch is recorded whole or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from oneshot_sketch.errors import InputError

_TABLE = """
create table if not exists photos (
    name text primary key, photo text not null, sha256 text, key text, seed integer, error text, finished real not null,
    inversion_error real
) without rowid
"""


@dataclass(frozen=True)
class Row:
    """What became of one photo.

    Attributes:
        name: of the sketch, below the output folder, without ".png".
        photo: where the photo is.
        sha256: of the photo's bytes; None if they could not be read.
        key: SHA-256 of the photo, the instruction, the backbone and the settings; None with an error.
        seed: of this photo's noise.
        error: why there is no sketch, or None.
        finished: seconds since 1970.
        inversion_error: how far the sketch prior's photo is from this one; None without a prior.
    """

    name: str
    photo: str
    sha256: str | None
    key: str | None
    seed: int | None
    error: str | None
    finished: float
    inversion_error: float | None = None


_MARKS = ", ".join("?" for _ in fields(Row))


class Manifest:
    """The file one process writes: `manifest.sqlite`, or `manifest-<rank>.sqlite` of several processes.

    It appears with its first rows. Each process has its own file because SQLite's locks are not to be trusted on the network
    file systems that several machines share.
    """

    def __init__(self, folder: Path, rank: int = 0, world: int = 1) -> None:
        self.path = folder / ("manifest.sqlite" if world == 1 else f"manifest-{rank:05d}.sqlite")

    def record(self, rows: Iterable[Row]) -> None:
        """Keep rows, all or none.

        Raises:
            InputError: the disk is full, or the file is damaged or not writable.
        """
        if rows := list(rows):
            with _opened(self.path) as base:
                if len(base.execute("pragma table_info(photos)").fetchall()) < len(fields(Row)):
                    base.execute("alter table photos add column inversion_error real")  # a file of before sketch priors
                base.executemany(f"insert or replace into photos values ({_MARKS})", map(_plain, rows))

    def missing(self, rows: Iterable[Row]) -> list[Row]:
        """Those that are not in the file with the same key."""
        if not self.path.is_file():
            return list(rows)
        with _opened(self.path) as base:
            query = "select 1 from photos where name = ? and photo = ? and key = ?"
            return [row for row in rows if not base.execute(query, (*_plain(row)[:2], row.key)).fetchone()]


def read_manifest(folder: str | Path) -> Iterator[Row]:
    """The rows of a folder of sketches by name; of several processes', the newest of each name.

    Raises:
        InputError: there is none, or one is damaged.
    """
    files = sorted(Path(folder).glob("manifest*.sqlite"))
    if not files:
        raise InputError(f"{folder} holds no manifest; give the --output of a run.")
    with _opened(None) as merged:
        for file in files:
            with _opened(file) as base:
                merged.executemany(
                    f"insert into photos values ({_MARKS}) on conflict (name) do update set photo = excluded.photo, "
                    "sha256 = excluded.sha256, key = excluded.key, seed = excluded.seed, error = excluded.error, "
                    "finished = excluded.finished, inversion_error = excluded.inversion_error where excluded.finished > finished",
                    ((*row, None)[: len(fields(Row))] for row in base.execute("select * from photos")),
                )
        yield from (Row(*row) for row in merged.execute("select * from photos order by name"))


def _plain(row: Row) -> tuple[str | float | None, ...]:
    """Its values; what of a file's name is no Unicode is spelt out."""
    values = astuple(row)
    return tuple(v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in values)


@contextmanager
def _opened(path: Path | None) -> Iterator[sqlite3.Connection]:
    """A transaction on a file; without one, on a table that SQLite keeps in a temporary place of its own."""
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path or "", timeout=60)) as base, base:
            base.execute(_TABLE)
            yield base
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{path or 'the manifest'} could not be read or written ({reason}); free some space, or delete it if it is damaged: "
            "every sketch carries its own record."
        ) from error
