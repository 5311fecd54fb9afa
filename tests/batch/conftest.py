"""Folders of photos, some of them bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import picture

Photos = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """`photos(5, bad=1)`: a folder p0000.png … of good ones, and of bad ones with names between theirs."""

    def make(good: int, bad: int = 0, sizes: tuple[tuple[int, int], ...] = ((32, 32),), folder: str = "photos") -> Path:
        place = tmp_path / folder
        place.mkdir()
        for i in range(good):
            picture(*sizes[i % len(sizes)], seed=i).save(place / f"p{i:04d}.png")
        for i in range(bad):
            (place / f"p{i * good // bad:04d}bad.jpg").write_bytes(b"\xff\xd8 not a picture")
        return place

    return make


def files(folder: Path) -> dict[str, bytes]:
    """The sketches of a folder, by name."""
    return {path.relative_to(folder).with_suffix("").as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}
