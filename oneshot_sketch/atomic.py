"""Files and folders that appear whole under their name, or not at all."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oneshot_sketch.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A sibling path to write to, renamed to `path` on success and removed on any failure.

    Raises:
        InputError: the disk is full, the folder is missing or not writable.
    """
    part = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); free some space or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a folder: an existing one is replaced only once the new one is complete.

    Files of the old folder that the new one lacks are kept (a card somebody wrote, say).
    """
    part = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        yield part
        if path.is_dir():
            for file in sorted(part.iterdir()):
                os.replace(file, path / file.name)
        else:
            os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); free some space or choose another place."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def clear_parts(path: Path) -> None:
    """Remove what a killed run left half-written beside `path`. No other process may be writing it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with suppress(OSError):
                left.unlink()


def _sibling(path: Path) -> Path:
    """A hidden name that no other run takes, on the same disk."""
    if not path.name:
        raise InputError(f"{path} has no name of its own; give the name of a file or folder.")
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
