"""Photos that look alike under two names: a test set that holds them is no test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from PIL import Image

from oneshot_sketch.data.rows import require_columns, to_picture, undecoded

LOOKALIKE_BITS = 60
_SIDE, _FREQUENCIES = 64, 16
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(_SIDE) + 0.5))
_COSINES[0] *= 0.5**0.5  # orthonormal, up to a common factor


@dataclass(frozen=True)
class NearDuplicate:
    """Two rows whose photos look alike.

    Attributes:
        rows: their indices in the data set.
        identities: what they are called there.
        splits: where they lie.
        bits: in how many of 255 their hashes differ.
    """

    rows: tuple[int, int]
    identities: tuple[str, str]
    splits: tuple[str, str]
    bits: int

    @property
    def crosses_split(self) -> bool:
        return self.splits[0] != self.splits[1]

    def __str__(self) -> str:
        (a, b), (s, t) = self.identities, self.splits
        return f"{a} ({s}) looks like {b} ({t}): {self.bits} of 255 bits differ"


def perceptual_hash(photo: Image.Image) -> np.ndarray:
    """(255,) bool: which low frequencies of a 64-pixel thumbnail's brightness (all but the mean) are above their median.

    Size, compression, brightness and contrast hardly change it; cropping and mirroring do.
    """
    thumbnail = np.asarray(photo.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    frequencies = (_COSINES @ thumbnail @ _COSINES.T).ravel()[1:]
    return frequencies > np.median(frequencies)


def find_near_duplicates(dataset: Dataset, bits: int = LOOKALIKE_BITS) -> list[NearDuplicate]:
    """Pairs of rows with different identities whose photos' hashes differ in at most `bits` of 255, closest first.

    Every photo is read. What the default finds in FS2K's training split is mostly one shot or one sitting. People before
    one studio's backdrop (CUFS) come as near as 42 bits, so look at what is found there, or ask for 30.

    Raises:
        InputError: a photo cannot be read, or a column is missing.
    """
    require_columns({"identity", "split"}, dataset.column_names)
    rows = undecoded(dataset)
    hashes = np.stack([perceptual_hash(to_picture(photo)) for photo in rows["photo"]]) if len(rows) else np.zeros((0, 255))
    signs = np.where(hashes, 1, -1).astype(np.float32)
    distances = (hashes.shape[1] - signs @ signs.T) / 2
    identities, splits = (list(dataset[column]) for column in ("identity", "split"))
    found = [
        NearDuplicate((i, j), (identities[i], identities[j]), (splits[i], splits[j]), int(distances[i, j]))
        for i, j in np.argwhere(np.triu(distances <= bits, 1)).tolist()
        if identities[i] != identities[j]
    ]
    return sorted(found, key=lambda pair: pair.bits)


def report_near_duplicates(found: Sequence[NearDuplicate]) -> str:
    """What was found in words, those across a split first."""
    crossing = [pair for pair in found if pair.crosses_split]
    within = [pair for pair in found if not pair.crosses_split]
    head = f"{len(crossing)} near-duplicates across splits, {len(within)} within one."
    return "\n".join([head, *(f"- {pair}" for pair in (*crossing, *within))])
