"""What every data set becomes: rows of photo, sketch, identity, style and split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import datasets
from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import FORMATS, open_image, to_rgb
from oneshot_sketch.pair import PhotoSketchPair

ALL = "all"  # the split of a data set that nobody split
FEATURES = datasets.Features(
    {
        "photo": datasets.Image(),
        "sketch": datasets.Image(),
        "identity": datasets.Value("string"),
        "style": datasets.Value("string"),
        "split": datasets.Value("string"),
    }
)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and on what terms.

    Attributes:
        title: its full name.
        homepage: where to get it.
        terms: one sentence on what its makers allow, as far as they say.
        licence: the short name of a stated licence, or empty.
    """

    title: str
    homepage: str
    terms: str
    licence: str = ""


@dataclass(frozen=True)
class PairFiles:
    """One row before anything is read."""

    photo: Path
    sketch: Path
    identity: str
    style: str | None = None
    split: str = ALL


def to_dataset(files: Sequence[PairFiles], source: Source) -> datasets.Dataset:
    """Rows with the columns of `FEATURES`; no picture is opened before its row is read."""
    columns = {
        "photo": [str(f.photo.resolve()) for f in files],
        "sketch": [str(f.sketch.resolve()) for f in files],
        "identity": [f.identity for f in files],
        "style": [f.style for f in files],
        "split": [f.split for f in files],
    }
    about = datasets.DatasetInfo(
        description=f"{source.title}. {source.terms}",
        homepage=source.homepage,
        license=source.licence,
        features=FEATURES.copy(),
    )
    return datasets.Dataset.from_dict(columns, info=about)


def to_pair(row: Mapping[str, Any], licence: str | None = None) -> PhotoSketchPair:
    """A row, its pictures decoded or not → the pair, named after its identity.

    Raises:
        InputError: a column is missing, a picture cannot be read, or the two differ in shape.
    """
    require_columns({"photo", "sketch", "identity"}, row)
    try:
        photo, sketch = to_picture(row["photo"]), to_picture(row["sketch"])
        return PhotoSketchPair(photo, sketch, str(row["identity"]), row.get("style"), licence)
    except InputError as error:
        raise InputError(f"pair {row['identity']}: {error}") from None


def to_pairs(dataset: datasets.Dataset) -> Iterator[PhotoSketchPair]:
    """The pairs of a data set one after the other, each opened when its turn comes.

    Raises:
        InputError: as `to_pair`.
    """
    for row in undecoded(dataset):
        yield to_pair(cast("Mapping[str, Any]", row), dataset.info.license or None)


def undecoded(dataset: datasets.Dataset) -> datasets.Dataset:
    """The same rows, with pictures as {"path", "bytes"}: fit for `to_picture`, whose errors name the file."""
    require_columns({"photo", "sketch"}, dataset.column_names)
    for column in ("photo", "sketch"):
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    return dataset


def to_picture(value: Image.Image | Mapping[str, Any] | None) -> Image.Image:
    """The content of an image column, decoded or {"path", "bytes"} → upright RGB.

    Raises:
        InputError: the picture is missing, damaged or no picture.
    """
    if isinstance(value, Image.Image):
        return to_rgb(value)
    content, path = (value or {}).get("bytes"), (value or {}).get("path")
    if content is None:
        if path is None:
            raise InputError("its picture is missing; drop the row or make the data set again.")
        return open_image(path)
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            image.load()
            return to_rgb(image)
    except InputError:
        raise
    except Exception as error:  # on damaged bytes, decoders raise anything
        raise InputError(f"a picture inside the data set cannot be decoded ({error}); make the data set again.") from None


def require_columns(columns: set[str], there: Iterable[str]) -> None:
    """
    Raises:
        InputError: some of them are not there.
    """
    if missing := sorted(columns - set(there)):
        raise InputError(f"the rows have no column {', '.join(missing)}; rename your columns to {', '.join(FEATURES)}.")
