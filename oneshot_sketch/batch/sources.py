"""What a user names (files, folders, globs, tables, data sets, lines of paths) → photos, one at a time."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

from oneshot_sketch.batch.photos import DataSet, Photo, open_data_set
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import SUFFIXES

TABLES = frozenset({".csv", ".tsv", ".parquet"})
COLUMNS = ("photo", "path", "image", "file_name")

Source = str | Path | DataSet | Iterable[str]


def find_photos(source: Source, *, recursive: bool = False, column: str = "", output: Path | None = None) -> Iterator[Photo]:
    """The photos of one source. Only names are held, and of a table or an iterable no more than a few thousand.

    Args:
        source: a picture; a folder; a glob such as "shots/**/*.jpg"; a .csv, .tsv or .parquet table with a column of
            paths, relative ones counted from the table's own folder; a data set; or paths, one after the other.
        recursive: take the folders inside a folder too.
        column: of a table; default the first of `COLUMNS` that it has.
        output: a folder left out wherever it lies inside another, for it holds sketches.

    Raises:
        InputError: there is nothing, or no such column. A picture that is missing is found out by whoever reads it.
    """
    if isinstance(source, DataSet):
        yield from _rows(source)
    elif not isinstance(source, str | Path):
        for line in source:
            if path := line.rstrip("\r\n"):
                yield Photo(_name(Path(path).name), path)
    else:
        path = Path(source)
        if path.is_dir():
            yield from _found(
                _walk(path, recursive, output), path, f"{path} holds no pictures; give a folder with PNG or JPEG files."
            )
        elif path.suffix.lower() in TABLES:
            yield from _table(path, column)
        elif has_magic(str(source)) and not path.exists():
            files = (found for found in sorted(glob(str(source), recursive=True)) if not os.path.isdir(found))
            yield from _found(files, _root(path), f"{source} matches no file; check the pattern.")
        else:
            yield Photo(_name(path.name), str(path))


def _found(files: Iterable[str], root: Path, nothing: str) -> Iterator[Photo]:
    file = None
    for file in files:
        yield Photo(_name(os.path.relpath(file, root)), file)
    if file is None:
        raise InputError(nothing)


def _walk(folder: Path, recursive: bool, output: Path | None) -> Iterator[str]:
    """Pictures by name, folder after folder; hidden ones and `output` are left out."""
    folders = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            yield str(path)
        elif recursive and path.is_dir() and not path.is_symlink():
            folders.append(path)
    for path in folders:
        if output is None or not (output.exists() and path.samefile(output)):
            yield from _walk(path, recursive, output)


def _root(pattern: Path) -> Path:
    """The part of a glob before its first wildcard."""
    parts = []
    for part in pattern.parts[:-1]:
        if has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _table(path: Path, column: str) -> Iterator[Photo]:
    values = _parquet(path, column) if path.suffix.lower() == ".parquet" else _csv(path, column)
    for value in values:
        file = Path(value)
        inside = file.relative_to(path.parent) if file.is_relative_to(path.parent) else file
        parts = [part for part in inside.parts if part not in (inside.anchor, "..")]
        yield Photo(_name("/".join(parts)), str(path.parent / file))


def _csv(path: Path, column: str) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            chosen = _column(path, column, table.fieldnames or ())
            for row in table:
                if value := row[chosen]:
                    yield value
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a table in UTF-8 ({error}); save it again as CSV.") from None


def _parquet(path: Path, column: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            chosen = _column(path, column, table.schema_arrow.names)
            kind = table.schema_arrow.field(chosen).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise InputError(
                    f"the column {chosen} of {path} holds {kind}, not paths; if it holds the pictures themselves, give the "
                    "table's folder with --dataset."
                )
            for rows in table.iter_batches(batch_size=4096, columns=[chosen]):
                yield from (value for value in rows.column(0).to_pylist() if value)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except pa.ArrowInvalid as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(f"{path} is not a Parquet table ({reason}); write it again.") from None


def _column(path: Path, asked: str, there: Iterable[str]) -> str:
    names = list(there)
    for name in (asked,) if asked else COLUMNS:
        if name in names:
            return name
    what = f"no column {asked!r}" if asked else "no column of paths"
    raise InputError(f"{path} has {what}; give --column one of: {', '.join(names) or 'none there'}.")


def _rows(data: DataSet) -> Iterator[Photo]:
    for index in range(len(open_data_set(data))):
        yield Photo(f"{index:08d}", f"{data.name}[{index}]", (data, index))


def _name(file: str) -> str:
    return os.path.splitext(Path(file).as_posix())[0]
