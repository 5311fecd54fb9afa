"""What to learn from, by style: pairs in folders, in a table, or in two image columns of any data set."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets

from oneshot_sketch.data.folders import PHOTO_FOLDERS, SPLITS, folder, subfolder
from oneshot_sketch.data.pair_folder import load
from oneshot_sketch.data.rows import to_pair, to_pairs
from oneshot_sketch.errors import InputError
from oneshot_sketch.pair import PhotoSketchPair

Styles = dict[str, Callable[[], list[PhotoSketchPair]]]
"""How to read the pairs of each style. Pairs that nobody sorted by style are the one style "".

Pictures are opened when a style is read, so a damaged one spoils its own style only.
"""

TABLES = (".csv", ".jsonl", ".parquet")


def styles_of_folder(root: str | Path) -> Styles:
    """A folder of pairs (photo/, sketch/), or a folder of such folders, each a style named after its folder.

    Pairs in test/ are left out.

    Raises:
        InputError: no such folder, or nothing of that kind in it.
    """
    root = folder(root)
    if subfolder(root, [*PHOTO_FOLDERS, *SPLITS]):
        return {"": lambda: _train_pairs(root)}
    children = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not children:
        raise InputError(f"{root} holds neither photo/ and sketch/ nor folders of styles that do; check the path.")
    return {path.name: lambda path=path: _train_pairs(path, path.name) for path in children}


def styles_of_table(path: str | Path) -> Styles:
    """A CSV, JSON-lines or Parquet table with a row a pair.

    Its columns: photo and sketch, paths seen from the table's own folder (in Parquet also pictures); and if they are there
    style, identity (the pair's name) and licence.

    Raises:
        InputError: not such a table, a column or a style is missing.
    """
    path = Path(path)
    rows = [{key: _text(value) for key, value in row.items()} for row in _read(path)]
    if not rows:
        raise InputError(f"{path} holds no rows; give a table with columns photo, sketch and style.")
    for number, row in enumerate(rows, 1):
        if missing := [column for column in ("photo", "sketch") if not row.get(column)]:
            raise InputError(f"row {number} of {path} has no {missing[0]}; give every row a photo and a sketch.")

    def read(numbers: Sequence[int]) -> list[PhotoSketchPair]:
        return [_table_pair(rows[i], path.parent, f"row {i + 1} of {path.name}") for i in numbers]

    return _grouped([row.get("style") for row in rows], read, str(path))


def styles_of_dataset(
    dataset: datasets.Dataset, photo: str = "photo", sketch: str = "sketch", style: str | None = None, most: int | None = None
) -> Styles:
    """Two image columns of any data set.

    Args:
        photo, sketch: names of the columns: pictures, or paths of pictures.
        style: column of the styles' names; None takes all rows together.
        most: rows to take, the first; None is all.

    Raises:
        InputError: a column is missing or holds no pictures, or a row has no style.
    """
    if missing := [name for name in (photo, sketch, style) if name is not None and name not in dataset.column_names]:
        raise InputError(f"the data set has no column {missing[0]!r}; choose from {', '.join(dataset.column_names)}.")
    dataset = dataset if most is None else dataset.select(range(min(most, len(dataset))))
    if not len(dataset):
        raise InputError("the data set holds no rows; choose another, or another split.")
    for column in {photo, sketch}:
        try:
            dataset = dataset.cast_column(column, datasets.Image(decode=False))
        except Exception as error:  # Arrow's, by the kind of column
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise InputError(f"the column {column!r} holds no pictures ({reason}); choose another.") from None

    def read(numbers: Sequence[int]) -> list[PhotoSketchPair]:
        pairs = []
        for i in numbers:
            row: Mapping[str, Any] = dataset[i]
            name = row.get("identity") or f"row {i + 1}"
            pairs.append(to_pair({"photo": row[photo], "sketch": row[sketch], "identity": name}, dataset.info.license or None))
        return pairs

    return _grouped([None] * len(dataset) if style is None else _names(dataset, style), read, "the data set")


def open_dataset(
    name: str, config: str | None = None, *, split: str = "train", cache_dir: str | None = None, token: str | None = None
) -> datasets.Dataset:
    """A split of a Hub data set, of a local folder that `datasets` reads (Parquet, imagefolder …), or of one Parquet file.

    Raises:
        InputError: not found, or nothing `datasets` can read.
    """
    path, files = ("parquet", name) if Path(name).suffix == ".parquet" else (name, None)
    try:
        opened = datasets.load_dataset(path, config, data_files=files, split=split, cache_dir=cache_dir, token=token)
    except MemoryError:
        raise
    except Exception as error:  # of many libraries, without a common ancestor
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(
            f"the data set {name} could not be loaded ({reason}); check its name, configuration and split."
        ) from None
    if not isinstance(opened, datasets.Dataset):
        raise InputError(f"{split!r} names no single split of {name}; give one, such as train.")
    return opened


def _train_pairs(root: Path, style: str | None = None) -> list[PhotoSketchPair]:
    dataset = load(root)
    kept = dataset.select([i for i, split in enumerate(dataset["split"]) if split != "test"])
    if not len(kept):
        raise InputError(f"{root} holds pairs to test on only; add a folder train/.")
    return [replace(pair, style=style) for pair in to_pairs(kept)]


def _grouped(styles: Sequence[str | None], read: Callable[[Sequence[int]], list[PhotoSketchPair]], source: str) -> Styles:
    """Row numbers by style."""
    if not any(styles):
        return {"": lambda: read(range(len(styles)))}
    groups: dict[str, list[int]] = {}
    for i, style in enumerate(styles):
        if not style:
            raise InputError(f"row {i + 1} of {source} has no style; give every row a style, or none.")
        groups.setdefault(style, []).append(i)
    return {
        style: lambda style=style, rows=rows: [replace(pair, style=style) for pair in read(rows)]
        for style, rows in groups.items()
    }


def _names(dataset: datasets.Dataset, column: str) -> list[str | None]:
    feature = dataset.features[column]
    name = feature.int2str if isinstance(feature, datasets.ClassLabel) else str
    return [None if value is None else str(name(value)) for value in dataset[column]]


def _table_pair(row: Mapping[str, Any], base: Path, where: str) -> PhotoSketchPair:
    sides = {side: {"path": str(base / value)} if isinstance(value := row[side], str) else value for side in ("photo", "sketch")}
    named = sides["photo"].get("path")
    name = row.get("identity") or (Path(named).stem if named else where)
    return to_pair({**sides, "identity": name}, row.get("licence"))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table, whatever its kind."""
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.DictReader(file)
        elif path.suffix == ".jsonl":
            with path.open(encoding="utf-8-sig") as file:
                for line in file:
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise ValueError(f"{line.strip()[:40]} is no object")
                        yield row
        elif path.suffix == ".parquet":
            from pyarrow import parquet

            yield from parquet.read_table(path).to_pylist()
        else:
            raise InputError(f"{path} is no table; give a file that ends in {', '.join(TABLES)}.")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # ArrowInvalid is a ValueError
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{path} cannot be read as a table ({reason}); save it again.") from None


def _text(value: Any) -> Any:
    """Numbers as the names they are meant to be; pictures ({"path", "bytes"}) as they are."""
    return value if value is None or isinstance(value, str | dict) else str(value)
