"""The command in this process: what it said, and the code it left with."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oneshot_sketch import LearnedInstruction
from oneshot_sketch.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence of a run that ended with code 2."""
        lines = [line for line in self.err.splitlines() if line.startswith("oneshot-sketch: ")]
        assert self.code == 2, self
        assert "Traceback" not in self.err
        assert len(lines) == 1, self.err
        assert self.err.rstrip().splitlines()[-1] == lines[0], "the last thing said"
        return lines[0].removeprefix("oneshot-sketch: ")


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`oneshot-sketch ARGUMENTS…`"""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(name, "error")

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["oneshot-sketch", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Outcome(int(left.value.code or 0), said.out, said.err)

    return call


def sketch(run: Run, desk: Path, instruction: object, *photos_and_options: object) -> Outcome:
    return run("sketch", *photos_and_options, "--instruction", instruction, "--output", desk / "out")


def face(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((40, 48), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def drawer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photo.png, its sketch.png, and photos/ada.png, grace.jpg and mary.webp."""
    folder = tmp_path_factory.mktemp("drawer")
    face(0).save(folder / "photo.png")
    face(0).convert("L").save(folder / "sketch.png")
    (folder / "photos").mkdir()
    for i, name in enumerate(("ada.png", "grace.jpg", "mary.webp")):
        face(i + 1).save(folder / "photos" / name)
    (folder / "photos" / "notes.txt").write_text("not a photo")
    return folder


@pytest.fixture
def desk(drawer: Path, tmp_path: Path) -> Path:
    """A copy of `drawer` to work on."""
    return shutil.copytree(drawer, tmp_path / "desk")


@pytest.fixture
def changed(pencil: Path, tmp_path: Path) -> Callable[..., Path]:
    """The instruction with another record."""

    def change(**entries: object) -> Path:
        learned = LearnedInstruction.from_pretrained(pencil)
        record = dataclasses.replace(learned.record, **entries)  # type: ignore[arg-type]
        LearnedInstruction(learned.embeddings, torch.zeros_like(learned.neutral), learned.rows, record).save_pretrained(
            tmp_path / "changed"
        )
        return tmp_path / "changed"

    return change
