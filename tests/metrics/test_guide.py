"""The guide's example runs, and its tables name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oneshot_sketch import metrics

GUIDE = (Path(__file__).parents[2] / "docs/guides/metrics.md").read_text()


def test_the_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    (promised,) = re.findall(r"print\(score\.name\)  # (.*)", code)
    exec(compile(code, "metrics.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[0] == promised


def test_every_accumulator_and_function_is_in_a_table() -> None:
    tables = "\n".join(line for line in GUIDE.splitlines() if line.startswith("|"))
    missing = [name for name in metrics.__all__ if name not in ("Metric", "Score") and f"`{name}" not in tables]
    assert missing == []
