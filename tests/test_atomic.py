"""Whole under its name, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from oneshot_sketch.atomic import replacing, replacing_folder
from oneshot_sketch.errors import InputError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FAILURES = (FULL, InputError("the sketch is upside down."), KeyboardInterrupt(), ZeroDivisionError())


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_file_appears_with_its_folders(tmp_path: Path) -> None:
    with replacing(tmp_path / "a" / "b" / "c.txt") as part:
        part.write_text("new")
        assert part.parent == tmp_path / "a" / "b", "a sibling, so that the rename stays on one disk"
        assert part.name.startswith("."), "which no listing of pictures takes for one"
        assert not (tmp_path / "a" / "b" / "c.txt").exists()
    assert tree(tmp_path) == {"a/b/c.txt": "new"}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("old", [None, "old"])
def test_a_failing_write_leaves_the_file_as_it_was(tmp_path: Path, failure: BaseException, old: str | None) -> None:
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)
    before = tree(tmp_path)
    with pytest.raises(InputError if failure is FULL else type(failure)) as caught, replacing(path) as part:
        part.write_text("half of the ne")
        raise failure
    assert tree(tmp_path) == before
    if failure is FULL:
        assert (
            str(caught.value)
            == f"{path} could not be written (No space left on device); free some space or choose another place."
        )
    else:
        assert caught.value is failure


def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for context in (replacing, replacing_folder):
        with pytest.raises(InputError, match="could not be written"), context(tmp_path / "file" / "inside"):
            pass
        with pytest.raises(InputError, match="could not be written"), context(tmp_path / ("long" * 100)):
            pass
        with pytest.raises(InputError, match="name"), context(Path()):
            pass
    with pytest.raises(InputError, match="could not be written"), replacing(tmp_path) as part:
        part.write_text("a file cannot replace a folder")
    assert tree(tmp_path) == {"file": "kept"}
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "a" / "new") as part:
        (part / "one").write_text("1")
        assert not (tmp_path / "a" / "new").exists()
        (part / "two").write_text("2")
    assert tree(tmp_path) == {"a/new/one": "1", "a/new/two": "2"}


def test_files_the_new_folder_lacks_are_kept(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "folder") as part:
        (part / "card").write_text("written by hand")
        (part / "weights").write_text("old")
    with replacing_folder(tmp_path / "folder") as part:
        (part / "weights").write_text("new")
    assert tree(tmp_path) == {"folder/card": "written by hand", "folder/weights": "new"}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("old", [None, "old"])
def test_a_failing_write_leaves_the_folder_as_it_was(tmp_path: Path, failure: BaseException, old: str | None) -> None:
    path = tmp_path / "folder"
    if old is not None:
        path.mkdir()
        (path / "weights").write_text(old)
    before = tree(tmp_path)
    with pytest.raises(InputError if failure is FULL else type(failure)) as caught, replacing_folder(path) as part:
        (part / "config").write_text("new")
        (part / "weights").write_text("half of the ne")
        raise failure
    assert tree(tmp_path) == before
    assert list(tmp_path.iterdir()) == ([path] if old is not None else [])
    if failure is FULL:
        assert str(caught.value).startswith(f"{path} could not be written (No space left on device)")
    else:
        assert caught.value is failure


def test_a_folder_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("kept")
    with pytest.raises(InputError, match="taken could not be written"), replacing_folder(tmp_path / "taken") as part:
        (part / "weights").write_text("new")
    assert tree(tmp_path) == {"taken": "kept"}
