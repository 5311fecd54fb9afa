"""Which names of sketches are taken, and by which photo."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from oneshot_sketch.batch.photos import Photo
from oneshot_sketch.errors import InputError


class Claims:
    """Refuses two photos of one name, and a sketch in the place of a photo; held on disk, for a table may name millions."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self._base = sqlite3.connect("", isolation_level=None)  # a temporary file of SQLite's own
        self._base.execute("create table claims (name blob primary key, photo blob, file blob, result blob) without rowid")
        self._base.execute("create index files on claims (file)")
        self._base.execute("create index results on claims (result)")
        self._base.execute("begin")  # never committed: nobody reads it after us

    def claim(self, photo: Photo) -> bool:
        """Take a photo's name; False if the same photo has it already.

        Raises:
            InputError: another photo has it, or a photo would be replaced by a sketch.
        """
        name, path = os.fsencode(photo.name), os.fsencode(photo.path)
        if taken := self._one("select photo from claims where name = ?", name):
            if taken == path:
                return False
            raise InputError(
                f"{os.fsdecode(taken)} and {photo.path} would both become {photo.name}.png; rename one or sketch them apart."
            )
        result = os.fsencode(os.path.realpath(self.output / f"{photo.name}.png"))
        file = b"" if photo.row else os.fsencode(os.path.realpath(photo.path))
        spoilt = self._one("select photo from claims where file = ?", result) or (file == result and path)
        spoilt = spoilt or (self._one("select result from claims where result = ?", file) and path)
        if spoilt:
            raise InputError(f"the sketch would replace the photo {os.fsdecode(spoilt)}; choose another --output.")
        self._base.execute("insert into claims values (?, ?, ?, ?)", (name, path, file, result))
        return True

    def _one(self, query: str, value: bytes) -> bytes | None:
        found = self._base.execute(query, (value,)).fetchone()
        return found[0] if found else None
