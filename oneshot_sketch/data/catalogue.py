"""The data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data import cufs, cufsf, fs2k, os_sketch, pair_folder, sksf_a, wildsketch
from oneshot_sketch.data.rows import Source
from oneshot_sketch.errors import InputError

Loader = Callable[[str | Path], Dataset]

CATALOGUE: dict[str, tuple[Source, Loader]] = {
    "os-sketch": (os_sketch.SOURCE, os_sketch.load),
    "cufs": (cufs.SOURCE, cufs.load),
    "cufsf": (cufsf.SOURCE, cufsf.load),
    "wildsketch": (wildsketch.SOURCE, wildsketch.load),
    "fs2k": (fs2k.SOURCE, fs2k.load),
    "sksf-a": (sksf_a.SOURCE, sksf_a.load),
    "folder": (pair_folder.SOURCE, pair_folder.load),
}


def load_pairs(name: str, root: str | Path) -> Dataset:
    """A data set that lies on this disk.

    Args:
        name: a key of `CATALOGUE`.
        root: the folder it was unpacked to; each data set's own file says how that looks.

    Returns:
        A row a pair: photo and sketch (`datasets.Image`, decoded when read), identity, style (None if unknown) and
        split ("train", "test" or "all"). `info` holds terms, homepage and licence.

    Raises:
        InputError: an unknown name, or a folder that is not that data set or only a part of it.
    """
    if name not in CATALOGUE:
        raise InputError(f"there is no data set {name!r}; choose one of {', '.join(CATALOGUE)}.")
    _, load = CATALOGUE[name]
    return load(root)
