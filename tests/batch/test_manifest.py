"""Rows appear together, replace their like, and add up over processes."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from oneshot_sketch.batch.manifest import Manifest, Row, read_manifest
from oneshot_sketch.errors import InputError

ROW = Row("b/ada", "ada.jpg", "5" * 64, "k" * 64, 7, None, 100.0)


def test_a_row_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "new" / "out")
    manifest.record([])
    assert not (tmp_path / "new").exists()
    manifest.record([ROW, replace(ROW, name="grace", error="bad", key=None)])
    manifest.record([replace(ROW, key="l" * 64)])
    assert [(row.name, row.key, row.error) for row in read_manifest(tmp_path / "new" / "out")] == [
        ("b/ada", "l" * 64, None),
        ("grace", None, "bad"),
    ]


def test_missing_rows_are_those_of_another_key_or_name(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    assert manifest.missing([ROW]) == [ROW]
    manifest.record([ROW])
    changed = replace(ROW, key="l" * 64)
    other = replace(ROW, name="grace")
    assert manifest.missing([ROW, changed, other]) == [changed, other]


def test_the_newest_row_of_several_processes_counts(tmp_path: Path) -> None:
    for rank, finished in ((0, 3.0), (1, 9.0), (2, 6.0)):
        Manifest(tmp_path, rank, 3).record([replace(ROW, seed=rank, finished=finished), replace(ROW, name=f"only {rank}")])
    assert [(row.name, row.seed) for row in read_manifest(tmp_path)] == [("b/ada", 1), *((f"only {k}", 7) for k in range(3))]


def test_a_name_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    row = replace(ROW, name="ada\udcff")
    Manifest(tmp_path).record([row])
    assert Manifest(tmp_path).missing([row]) == []


def test_all_rows_or_none(tmp_path: Path) -> None:
    bad = replace(ROW, name="grace", finished=None)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        Manifest(tmp_path).record([ROW, bad])
    assert list(read_manifest(tmp_path)) == []


def test_a_damaged_or_missing_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no manifest"):
        list(read_manifest(tmp_path))
    (tmp_path / "manifest.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(InputError, match=r"manifest\.sqlite could not be read or written \(file is not a database\)"):
        Manifest(tmp_path).record([ROW])
    assert (tmp_path / "manifest.sqlite").read_bytes() == b"nonsense" * 1000


def test_it_is_plain_sqlite(tmp_path: Path) -> None:
    Manifest(tmp_path).record([ROW])
    with sqlite3.connect(tmp_path / "manifest.sqlite") as base:
        assert base.execute("select photo from photos where key = ?", (ROW.key,)).fetchall() == [("ada.jpg",)]


def test_a_file_of_before_sketch_priors_is_read_as_it_is_and_grows_when_written(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "manifest.sqlite") as base:
        base.execute(
            "create table photos (name text primary key, photo text not null, sha256 text, key text, seed integer, error text, "
            "finished real not null) without rowid"
        )
        base.execute("insert into photos values (?, ?, ?, ?, ?, ?, ?)", astuple(ROW)[:7])
    base.close()
    before = (tmp_path / "manifest.sqlite").read_bytes()
    assert list(read_manifest(tmp_path)) == [ROW]
    assert Manifest(tmp_path).missing([ROW]) == []
    assert (tmp_path / "manifest.sqlite").read_bytes() == before
    guided = replace(ROW, name="grace", inversion_error=0.25)
    Manifest(tmp_path).record([guided])
    assert list(read_manifest(tmp_path)) == [ROW, guided]
