"""CUFS (Wang and Tang 2009): 606 frontal faces of three photo databases, in pencil."""

from __future__ import annotations

import re
from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data.folders import SPLITS, check_count, folder, match_in, subfolder
from oneshot_sketch.data.rows import ALL, PairFiles, Source, to_dataset
from oneshot_sketch.data.split_list import TestList
from oneshot_sketch.errors import InputError

SOURCE = Source(
    "CUHK Face Sketch Database (CUFS)",
    "http://mmlab.ie.cuhk.edu.hk/archive/facesketch.html",
    "For research; CUHK gives out the sketches and the student photos, the AR and XM2VTS photos are had from their owners.",
)
PARTS = {"student": 188, "ar": 123, "xm2vts": 295}
FOLDERS = {"student": ("student", "cuhk_student", "cuhk"), "ar": ("ar",), "xm2vts": ("xm2vts",)}
TEST_LIST = "list_test.txt"


def load(root: str | Path) -> Dataset:
    """Those of root/student, root/ar and root/xm2vts that are there, each of them whole.

    A part holds photo/ and sketch/, paired by stem or as CUHK names the students' files (f-005-01, F2-005-01-sz1).
    Its split is read from train/ and test/ folders around these two, else from root/list_test.txt, else from the
    prefixes train_ and test_; a part with none of them is all of split "all". Identity is "part-name", style the part.

    Raises:
        InputError: no part is there, a part is partial, or the list is of another copy.
    """
    root = folder(root)
    parts = {part: found for part, names in FOLDERS.items() if (found := subfolder(root, names))}
    if not parts:
        raise InputError(f"{root} has no folder student/, ar/ or xm2vts/; give the folder that holds the parts of CUFS.")
    listed = TestList(root / TEST_LIST) if (root / TEST_LIST).is_file() else None
    files = []
    for part, place in parts.items():
        matches = match_in(place, pair_key)
        check_count(len(matches), PARTS[part], "pairs", place, SOURCE)
        unsplit = [m.photo.stem for m in matches if m.split == ALL]
        split = listed.split(FOLDERS[part], unsplit) if listed and unsplit else {}
        for m in matches:
            own = m.split if m.split != ALL else split.get(m.photo.stem, _prefix(m.key))
            files.append(PairFiles(m.photo, m.sketch, f"{part}-{m.key}", part, own))
    return to_dataset(files, SOURCE)


def pair_key(stem: str) -> str:
    """What a photo's and its sketch's name have in common."""
    return re.sub(r"^([fm])2-", r"\1-", stem.lower().removesuffix("-sz1"))


def _prefix(key: str) -> str:
    return next((split for split in SPLITS if key.startswith(f"{split}_")), ALL)
