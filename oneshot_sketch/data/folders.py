"""Finding the photos and sketches of a folder that belong together, and saying what is wrong when they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from oneshot_sketch.data.rows import ALL, Source
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import list_images

PHOTO_FOLDERS = ("photo", "photos", "images")
SKETCH_FOLDERS = ("sketch", "sketches")
SPLITS = ("train", "test")

Key = Callable[[str], str]


@dataclass(frozen=True)
class Match:
    """A photo and a sketch whose names share a key."""

    key: str
    photo: Path
    sketch: Path
    split: str = ALL


def folder(root: str | Path) -> Path:
    """
    Raises:
        InputError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {what}; give the folder the data set was unpacked to.")
    return root


def subfolder(root: Path, names: Iterable[str]) -> Path | None:
    """The first of these folders inside `root`, in whatever case it is written."""
    there = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir()}
    return next((there[name] for name in names if name in there), None)


def required_subfolder(root: Path, names: Iterable[str]) -> Path:
    """
    Raises:
        InputError: none of them is there.
    """
    names = list(names)
    found = subfolder(root, names)
    if found is None:
        raise InputError(f"{root} has no folder {' or '.join(f'{name}/' for name in names)}; check that it is the right root.")
    return found


def match_in(root: Path, key: Key = str, sketches: Iterable[str] = SKETCH_FOLDERS) -> list[Match]:
    """The pairs of root/photo and root/sketch; or of root/train and root/test, each holding those two.

    Raises:
        InputError: a folder is missing or empty, or a picture has no partner.
    """
    sketches = list(sketches)
    split_folders = {split: found for split in SPLITS if (found := subfolder(root, [split]))}
    return [
        Match(m.key, m.photo, m.sketch, split)
        for split, part in (split_folders or {ALL: root}).items()
        for m in match(required_subfolder(part, PHOTO_FOLDERS), required_subfolder(part, sketches), key)
    ]


def match(photos: Path, sketches: Path, key: Key = str) -> list[Match]:
    """Photos and sketches whose names, without suffix, have the same key; in the order of the keys.

    Raises:
        InputError: a folder holds no pictures, two pictures share a key, or a picture has no partner.
    """
    left, right = by_key(photos, key), by_key(sketches, key)
    for ours, theirs, there in ((left, right, sketches), (right, left, photos)):
        if alone := sorted(ours.keys() - theirs.keys()):
            raise InputError(
                f"{len(alone)} of {len(ours)} pictures in {ours[alone[0]].parent} have no partner in {there}, "
                f"first {ours[alone[0]].name}; add the missing files or remove these."
            )
    return [Match(k, left[k], right[k]) for k in sorted(left)]


def by_key(pictures: Path, key: Key = str) -> dict[str, Path]:
    """
    Raises:
        InputError: no pictures here, or two of one key.
    """
    found: dict[str, Path] = {}
    for path in list_images(pictures):
        if (twin := found.setdefault(key(path.stem), path)) != path:
            raise InputError(f"{twin} and {path.name} stand for the same pair; keep one of them.")
    if not found:
        raise InputError(f"{pictures} holds no pictures; unpack the data set again.")
    return found


def check_count(count: int, expected: int, what: str, root: Path, source: Source) -> None:
    """
    Raises:
        InputError: the folder is partial, or not that data set.
    """
    if count != expected:
        raise InputError(
            f"{root} holds {count} {what}, not {expected}; complete it from {source.homepage}, "
            "or load what there is as a plain 'folder'."
        )
