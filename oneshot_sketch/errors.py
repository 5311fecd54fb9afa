"""The one exception a user can cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """Unusable input. The message is one sentence: what, why, and what to do about it."""


@contextmanager
def loading(name: str | Path, kind: str, advice: str = "check the name") -> Iterator[None]:
    """Whatever a library raises for unusable files becomes one sentence.

    Args:
        name: folder, file or Hub id that is loaded.
        kind: what it should hold, with its article.

    Raises:
        InputError: in place of any exception but itself and those of memory.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{name} could not be loaded as {kind} ({reason}); {advice}.") from error
