from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import picture
from typer.testing import CliRunner

from oneshot_sketch import InputError
from oneshot_sketch.benchmark import system
from oneshot_sketch.cli.main import app

GUIDE = Path(__file__).parents[2] / "docs/guides/benchmark.md"
PROTOCOL = """
title = "Mine"
exemplars = 1
photos = 2
size = 64
parts = [{ title = "set", data = "folder", folder = "set" }]
measures = [{ metric = "ssim" }]
entrants = [{ title = "grey", system = "filter", options = { kind = "grey" } }]
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    before = dict(system._FACTORIES)
    yield
    system._FACTORIES.clear()
    system._FACTORIES.update(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(4):
        for kind in ("photo", "sketch"):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            picture(64, 64, seed=i).save(tmp_path / "set" / kind / f"{i}.png")
    return tmp_path


def test_the_guides_own_system_runs(folder: Path) -> None:
    (code,) = (b for b in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S))
    (toml,) = (b for b in re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.S))
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
    (folder / "mine.py").write_text(code)
    grey = "[[entrants]]\ntitle = 'grey'\nsystem = 'filter'\noptions = { kind = 'grey' }\n"
    protocol = re.sub(r"entrants = .*\n", "", PROTOCOL)
    (folder / "p.toml").write_text(f"{protocol}{grey}{toml}")
    command = ["benchmark", "run", str(folder / "p.toml"), "--data", str(folder), "--output", str(folder / "out")]
    result = CliRunner().invoke(app, [*command, "--plugin", str(folder / "mine.py")], catch_exceptions=False)
    assert "report.html" in result.output
    assert "| edges |" in (folder / "out/table.md").read_text()
    again = CliRunner().invoke(app, ["benchmark", "report", str(folder / "out"), "--without-data"], catch_exceptions=False)
    assert again.exit_code == 0


def test_bad_plugins_and_systems_are_refused(folder: Path) -> None:
    (folder / "p.toml").write_text(PROTOCOL.replace('"filter"', '"edges"'))
    (folder / "bad.py").write_text("1 / 0")
    command = ["benchmark", "run", str(folder / "p.toml"), "--data", str(folder), "--output", str(folder / "out")]
    for more, message in (
        ([], "no system 'edges'"),
        (["--plugin", str(folder / "bad.py")], "ZeroDivisionError"),
        (["--plugin", str(folder / "none.py")], "no Python file"),
    ):
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(app, [*command, *more], catch_exceptions=False)
    assert not (folder / "out").exists()
