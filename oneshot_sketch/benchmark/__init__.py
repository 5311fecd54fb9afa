"""Judging: protocol × systems → one line an image → tables and pages."""

import oneshot_sketch.benchmark.rivals  # noqa: F401 # pyright: ignore[reportUnusedImport]
from oneshot_sketch.benchmark.system import System, Unavailable, build, known_systems, register

__all__ = ["System", "Unavailable", "build", "known_systems", "register"]
