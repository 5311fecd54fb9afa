"""Judging: protocol × systems → one line an image → tables and pages."""

import oneshot_sketch.benchmark.rivals  # noqa: F401 # pyright: ignore[reportUnusedImport]
from oneshot_sketch.benchmark.protocol import Protocol, load_protocol, shipped_protocols
from oneshot_sketch.benchmark.system import System, Unavailable, build, known_systems, load_plugin, register

__all__ = [
    "Protocol",
    "System",
    "Unavailable",
    "build",
    "known_systems",
    "load_plugin",
    "load_protocol",
    "register",
    "shipped_protocols",
]
