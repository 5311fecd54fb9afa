"""WildSketch (Nie et al. 2022): 800 faces as the world shows them, drawn by one hand."""

from __future__ import annotations

import re
from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data.folders import PHOTO_FOLDERS, SKETCH_FOLDERS, SPLITS, check_count, folder, match, required_subfolder
from oneshot_sketch.data.rows import PairFiles, Source, to_dataset

SOURCE = Source(
    "WildSketch",
    "https://github.com/liulingbo918/PANet_for_WildSketch",
    "Released for research with the paper; no licence is stated.",
)
COUNT = 400  # in each split


def load(root: str | Path) -> Dataset:
    """root/train and root/test, each with images/ and sketches/, paired by the numbers in their names.

    Raises:
        InputError: a folder is missing, a picture has no partner, or a split is not 400 pairs.
    """
    root = folder(root)
    files = []
    for split in SPLITS:
        part = required_subfolder(root, [split])
        matches = match(required_subfolder(part, PHOTO_FOLDERS), required_subfolder(part, SKETCH_FOLDERS), _numbers)
        check_count(len(matches), COUNT, "pairs", part, SOURCE)
        files += [PairFiles(m.photo, m.sketch, f"{split}-{m.key}", "wildsketch", split) for m in matches]
    return to_dataset(files, SOURCE)


def _numbers(stem: str) -> str:
    return "_".join(re.findall(r"\d+", stem)) or stem
