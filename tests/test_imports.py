"""What is public, and what importing it costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import oneshot_sketch

PUBLIC = [
    "FrozenInstructPix2Pix",
    "InputError",
    "InstructionLearner",
    "InstructionLearnerConfig",
    "InstructionRecord",
    "LearnedInstruction",
    "OneShotSketchPipeline",
    "PhotoSketchPair",
    "SketchPrior",
]
HEAVY = {"torch", "diffusers", "transformers", "numpy", "PIL", "huggingface_hub", "safetensors"}


def test_the_public_names_are_these() -> None:
    """Whoever changes this list changes the CHANGELOG too."""
    assert sorted(oneshot_sketch.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    assert getattr(oneshot_sketch, name).__doc__
    assert name in dir(oneshot_sketch)


def test_other_names_do_not_resolve() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sketcher'"):
        _ = oneshot_sketch.Sketcher  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        exec("from oneshot_sketch import Sketcher")


@pytest.mark.parametrize("module", ["oneshot_sketch", "oneshot_sketch.cli.main", "oneshot_sketch.models"])
def test_importing_is_light_and_silent(module: str) -> None:
    program = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert not done.stderr
    assert not HEAVY & {name.partition(".")[0] for name in done.stdout.split()}


def test_what_modules_import_comes_with_the_package() -> None:
    """README's first command installs no extra, so an extra's package may be imported inside a function only."""
    package = Path(oneshot_sketch.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())["project"]
    given = {re.split("[<>=]", line)[0].replace("_", "-") for line in project["dependencies"]}
    given |= {"pyarrow", "pyyaml"}  # datasets and huggingface_hub stand on them
    owners, astray = packages_distributions(), set()
    for file in package.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"oneshot_sketch"}:
                if not given & {owner.lower().replace("_", "-") for owner in owners[name]}:
                    astray.add(f"{file.relative_to(package)}: {name}")
    assert not astray
