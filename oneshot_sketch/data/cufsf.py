"""CUFSF (Zhang, Wang and Tang 2011): 1194 faces of FERET under changing light, sketched with exaggeration."""

from __future__ import annotations

import re
from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data.folders import Match, check_count, folder, match_in
from oneshot_sketch.data.rows import ALL, PairFiles, Source, to_dataset
from oneshot_sketch.data.split_list import TestList
from oneshot_sketch.errors import InputError

SOURCE = Source(
    "CUHK Face Sketch FERET Database (CUFSF)",
    "https://mmlab.ie.cuhk.edu.hk/archive/cufsf/",
    "For research; CUHK gives out the sketches, the photos are FERET's and are had from NIST on a signed agreement.",
)
COUNT = 1194
SKETCH_FOLDERS = ("sketch", "sketches", "cropped_sketch", "original_sketch")
TEST_LIST = "list_test_F.txt"


def load(root: str | Path) -> Dataset:
    """root/photo and root/sketch (or cropped_sketch, original_sketch), paired by the five digits of FERET's subject.

    Split is read from train/ and test/ folders around these two, else from root/list_test_F.txt (250 and 944), else it
    is "all". Identity is the subject's number.

    Raises:
        InputError: not 1194 pairs, a name without subject, or a list of another copy.
    """
    root = folder(root)
    matches = match_subjects(root)
    check_count(len(matches), COUNT, "pairs", root, SOURCE)
    split = {m.key: m.split for m in matches}
    if set(split.values()) == {ALL} and (root / TEST_LIST).is_file():
        listed = TestList(root / TEST_LIST)
        split = listed.split({part for part, _ in listed.pairs}, split)
    return to_dataset([PairFiles(m.photo, m.sketch, m.key, "cufsf", split[m.key]) for m in matches], SOURCE)


def match_subjects(root: Path) -> list[Match]:
    """The pairs of a whole or partial copy, their keys the subjects' five digits.

    Raises:
        InputError: folders are missing, or a picture has no partner or no subject.
    """
    return match_in(root, _subject, SKETCH_FOLDERS)


def _subject(stem: str) -> str:
    found = re.match(r"\d{5}", stem)
    if not found:
        raise InputError(f"{stem} does not begin with the five digits of a FERET subject; give the files as they were released.")
    return found[0]
