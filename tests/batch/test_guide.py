"""The guide's Python, commands and query run as written."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from batch.conftest import Photos, files
from conftest import picture
from typer.main import get_command

from oneshot_sketch.cli.main import app, main

GUIDE = (Path(__file__).parents[2] / "docs/guides/scale.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def desk(photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the guide's names exist."""
    photos(2, bad=1, folder="portraits")
    (tmp_path / "more").mkdir()
    picture(seed=9).save(tmp_path / "more" / "mary.png")
    shutil.copytree(pencil, tmp_path / "soft-pencil")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_runs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    exec(compile(code, "scale.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 0 1"
    assert lines[1].startswith("portraits/p0000bad.jpg portraits/p0000bad.jpg is not a picture")
    assert sorted(files(desk / "drawn")) == ["mary", "p0000", "p0001"]


def test_the_first_command_and_the_query_run(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(COMMANDS[0]))
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "2 of 3 photos sketched" in capsys.readouterr().out
    (query,) = [line for line in COMMANDS if line.startswith("sqlite3")]
    _, file, statement = shlex.split(query)
    with sqlite3.connect(file) as base:
        ((photo, error),) = base.execute(statement).fetchall()
    assert photo == "portraits/p0000bad.jpg"
    assert "is not a picture" in error


@pytest.mark.parametrize("line", [line for line in COMMANDS if "oneshot-sketch sketch" in line])
def test_the_commands_parse(line: str) -> None:
    words = shlex.split(line)
    arguments = words[words.index("oneshot-sketch") + 2 :]
    command = get_command(app).commands["sketch"]  # type: ignore[attr-defined]
    command.make_context("sketch", arguments)


def test_every_option_it_speaks_of_is_there() -> None:
    command = get_command(app).commands["sketch"]  # type: ignore[attr-defined]
    there = {option for parameter in command.params for option in parameter.opts} | {
        "--standalone",
        "--no-python",
        "--nproc_per_node",
    }
    assert set(re.findall(r"--[a-z_-]+[a-z]", GUIDE)) <= there
