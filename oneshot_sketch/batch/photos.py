"""One photo of a run: what its sketch is called, and where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import decode_image


@dataclass(frozen=True)
class DataSet:
    """An image column of a `datasets` data set.

    Attributes:
        name: a Hub id, a folder `datasets.load_dataset` reads, or one written by `save_to_disk`.
        split: its split.
        column: its image column, or "" for the only one there is.
    """

    name: str
    split: str = "train"
    column: str = ""


@dataclass(frozen=True)
class Photo:
    """A reference, a few dozen bytes however large the picture.

    Attributes:
        name: of the sketch below the output folder, with "/" between folders and without ".png".
        path: of the file; for a row of a data set, how to call it in messages.
        row: the data set and the index of the row, instead of a file.
    """

    name: str
    path: str
    row: tuple[DataSet, int] | None = None

    def read(self) -> bytes:
        """The encoded picture.

        Raises:
            InputError: it is not there, or may not be read.
        """
        if self.row is not None:
            return self._of_row(*self.row)
        path = Path(self.path)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{path} does not exist; check the path.") from None
        except IsADirectoryError:
            raise InputError(f"{path} is a folder, not a picture; give the path of one picture.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path} cannot be read ({reason}); check the path and its permissions.") from None

    def decode(self, content: bytes) -> Image.Image:
        """`content` as upright RGB.

        Raises:
            InputError: as `images.decode_image`.
        """
        return decode_image(content, self.path)

    def shard(self, world: int) -> int:
        """The process, of `world`, that sketches it: by its name alone, so that all agree without a word."""
        return int.from_bytes(sha256(self.name.encode("utf-8", "surrogateescape")).digest()[:8]) % world

    def _of_row(self, data: DataSet, index: int) -> bytes:
        value = open_data_set(data)[index][image_column(data)] or {}
        if value.get("bytes") is not None:
            return value["bytes"]
        if value.get("path") is None:
            raise InputError(f"{self.path} holds no picture; drop the row or make the data set again.")
        return Photo(self.name, value["path"]).read()


@lru_cache(maxsize=4)
def open_data_set(data: DataSet) -> Any:
    """The rows, memory-mapped, with pictures as {"path", "bytes"}; opened once a process.

    Raises:
        InputError: it cannot be found, or has no such split or image column.
    """
    import datasets

    try:
        if Path(data.name, "state.json").is_file() or Path(data.name, "dataset_dict.json").is_file():
            loaded = datasets.load_from_disk(data.name)
            rows = loaded[data.split] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            rows = datasets.load_dataset(data.name, split=data.split)
    except KeyError:
        raise InputError(f"{data.name} has no split {data.split!r}; give another --split.") from None
    except Exception as error:  # the loaders' errors have no common ancestor
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{data.name} could not be opened as a data set ({reason}); check its name and split.") from None
    images = [name for name, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    if (data.column and data.column not in images) or (not data.column and len(images) != 1):
        wanted = f"no image column {data.column!r}" if data.column else f"{len(images)} image columns"
        raise InputError(f"{data.name} has {wanted}; give --column one of: {', '.join(images) or 'none there'}.")
    return rows.select_columns([data.column or images[0]]).cast_column(data.column or images[0], datasets.Image(decode=False))


def image_column(data: DataSet) -> str:
    return data.column or open_data_set(data).column_names[0]
