"""The README's Python runs, and its commands name what exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("python")
    short = code.replace("InstructionLearnerConfig(seed=0)", "InstructionLearnerConfig(seed=0, steps=2, draws=1, grid=1)")
    assert short != code
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    exec(compile(short, "README.md", "exec"), {})
    assert (tmp_path / "sketch.png").stat().st_size > 1000
    assert (tmp_path / "flow-pencil" / "instruction.safetensors").stat().st_size < 500_000


@pytest.mark.parametrize(
    "line", [line for block in blocks("bash") for line in block.splitlines() if line.startswith("oneshot-sketch")]
)
def test_command_lines_parse(line: str) -> None:
    from typer.main import get_command

    from oneshot_sketch.cli.main import app

    command, (_, *arguments) = get_command(app), shlex.split(line, comments=True)
    while hasattr(command, "commands"):
        command, *arguments = command.commands[arguments[0]], *arguments[1:]  # type: ignore[attr-defined]
    command.make_context(command.name, arguments)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("http") or (ROOT / target).exists()
