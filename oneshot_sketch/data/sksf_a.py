"""SKSF-A (Yun et al. 2024): 134 faces, each drawn in seven styles."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data.folders import PHOTO_FOLDERS, check_count, folder, match, required_subfolder
from oneshot_sketch.data.rows import PairFiles, Source, to_dataset

SOURCE = Source(
    "SKSF-A",
    "https://github.com/kwanyun/SKSF-A",
    "Given out for academic use; no licence is stated.",
)
IDENTITIES = 134
STYLES = tuple(f"style{n}" for n in range(1, 8))


def load(root: str | Path) -> Dataset:
    """root/Photo and root/style1 … root/style7, paired by stem: 938 rows, a photo being in seven of them.

    Style is the folder's name; by their makers' own names they are ani, low, Disney, GHIBLI, sketch, pencil and Rough.
    Nobody split it: split is "all".

    Raises:
        InputError: a style is missing, or not 134 pairs.
    """
    root = folder(root)
    photos = required_subfolder(root, PHOTO_FOLDERS)
    files = []
    for style in STYLES:
        sketches = required_subfolder(root, [style])
        matches = match(photos, sketches)
        check_count(len(matches), IDENTITIES, "sketches", sketches, SOURCE)
        files += [PairFiles(m.photo, m.sketch, m.key, style) for m in matches]
    return to_dataset(files, SOURCE)
