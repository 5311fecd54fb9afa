"""FS2K (Fan et al. 2022): 2,104 photos in three annotated styles, with an official split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import Dataset

from oneshot_sketch.data.folders import by_key, check_count, folder, match, required_subfolder
from oneshot_sketch.data.rows import PairFiles, Source, to_dataset
from oneshot_sketch.errors import InputError

SOURCE = Source(
    "FS2K",
    "https://github.com/DengPingFan/FS2K",
    "The repository says MIT; the photos stem from CASIA-WebFace (photo1), eight actors (photo2) and stock sites (photo3).",
    "mit",
)
COUNT = {"train": 1058, "test": 1046}
FLAT = "pairs.json"


def load(root: str | Path) -> Dataset:
    """The official release, or its flat copy.

    The release has anno_train.json and anno_test.json (one of them is enough), photo/photo1 … photo3 and
    sketch/sketch1 … sketch3. The flat copy has photo/ and sketch/ with one stem a pair, and pairs.json, a list of
    {"name", "style"}; it is of the training split.

    Style is the annotated one, "style0" to "style2": it is not the number of the folder. Identities are not annotated,
    so identity stands for one photo ("photo1_0110"), and one person may have several.

    Raises:
        InputError: no annotation, an unreadable one, a count that is not the official one, or a file that it lists is
            missing.
    """
    root = folder(root)
    if (root / FLAT).is_file():
        return to_dataset(_flat(root), SOURCE)
    annotations = {split: path for split in COUNT if (path := root / f"anno_{split}.json").is_file()}
    if not annotations:
        raise InputError(f"{root} has no anno_train.json, anno_test.json or pairs.json; give the folder FS2K was unpacked to.")
    photos, sketches = (required_subfolder(root, [kind]) for kind in ("photo", "sketch"))
    files = []
    for split, path in annotations.items():
        rows = _annotated(path, "image_name")
        check_count(len(rows), COUNT[split], f"pairs in {path.name}", root, SOURCE)
        found = {part: _numbered(photos, sketches, part) for part in sorted({_place(name, path)[0] for name in rows})}
        for name, style in rows.items():
            part, number = _place(name, path)
            if number not in found[part]:
                raise InputError(f"{path} lists {name}, but its photo or sketch is missing; unpack FS2K again.")
            photo, sketch = found[part][number]
            files.append(PairFiles(photo, sketch, f"photo{part}_{number}", style, split))
    return to_dataset(files, SOURCE)


def _flat(root: Path) -> list[PairFiles]:
    styles = _annotated(root / FLAT, "name")
    check_count(len(styles), COUNT["train"], f"pairs in {FLAT}", root, SOURCE)
    matches = match(required_subfolder(root, ["photo"]), required_subfolder(root, ["sketch"]))
    if strange := styles.keys() ^ {m.key for m in matches}:
        raise InputError(f"{root / FLAT} and the pictures beside it disagree about {min(strange)}; unpack the copy again.")
    return [PairFiles(m.photo, m.sketch, m.key, styles[m.key], "train") for m in matches]


def _annotated(path: Path, name: str) -> dict[str, str]:
    """Name → style, as one annotation file has it."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {str(row[name]): f"style{int(row['style'])}" for row in rows}
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path} is not a list of objects with {name!r} and 'style'; unpack FS2K again.") from None


def _place(name: str, annotation: Path) -> tuple[str, str]:
    """`photo1/image0110` → the part "1" and the number "0110"."""
    part, _, file = name.partition("/")
    if not (part.startswith("photo") and file.startswith("image")):
        raise InputError(f"{annotation} names a picture {name!r}, not 'photo1/image0110'; give FS2K's own annotation.")
    return part.removeprefix("photo"), file.removeprefix("image")


def _numbered(photos: Path, sketches: Path, part: str) -> dict[str, tuple[Path, Path]]:
    """Number → photo and sketch of one part; what lacks either is left out, as the annotation decides what must be there."""
    left = by_key(required_subfolder(photos, [f"photo{part}"]), lambda stem: stem.removeprefix("image"))
    right = by_key(required_subfolder(sketches, [f"sketch{part}"]), lambda stem: stem.removeprefix("sketch"))
    return {number: (left[number], right[number]) for number in left.keys() & right.keys()}
