"""OS-Sketch (arXiv 2506.15312): 400 pairs from four sources, of which one is learned from and 399 are drawn."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from oneshot_sketch.data.cufs import pair_key
from oneshot_sketch.data.cufsf import match_subjects
from oneshot_sketch.data.folders import check_count, folder, match_in, subfolder
from oneshot_sketch.data.rows import PairFiles, Source, to_dataset
from oneshot_sketch.errors import InputError

SOURCE = Source(
    "One-shot Face Sketch Dataset (OS-Sketch)",
    "https://github.com/HanWu3125/OS-Sketch",
    "For non-commercial research only, not to be passed on; its CUFSF part must be had from CUHK.",
    "other",
)
PARTS = {"internet": 40, "cufs": 100, "cufsf": 110, "wildsketch": 150}
CUFSF_SUBJECTS = ("00043", "00152")  # first and last


def load(root: str | Path) -> Dataset:
    """root/internet, root/cufs, root/cufsf and root/wildsketch, each with photo/ and sketch/.

    cufsf/ may be the whole of CUFSF: 00043fb001d_931230 to 00152fa001d_931230 are taken out of it. Style is the part,
    identity "part-name". One pair trains and the rest tests, so split is "all".

    Raises:
        InputError: a part is missing or partial.
    """
    root = folder(root)
    files = []
    for part, count in PARTS.items():
        place = subfolder(root, [part])
        if place is None:
            raise InputError(f"{root} has no folder {part}/; {_advice(part)}.")
        matches = match_subjects(place) if part == "cufsf" else match_in(place, pair_key)
        if part == "cufsf":
            first, last = CUFSF_SUBJECTS
            matches = [m for m in matches if first <= m.key <= last]
        check_count(len(matches), count, "of its pairs", place, SOURCE)
        files += [PairFiles(m.photo, m.sketch, f"{part}-{m.key}", part) for m in matches]
    return to_dataset(files, SOURCE)


def _advice(part: str) -> str:
    if part == "cufsf":
        return "OS-Sketch may not pass on this part, so ask CUHK for CUFSF and put its photo/ and sketch/ there"
    return f"sort the pairs of the archive into {', '.join(f'{name}/' for name in PARTS)}"
