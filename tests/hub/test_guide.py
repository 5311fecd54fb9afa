"""docs/guides/share.md runs as it is written, from top to bottom."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import Run
from hub.conftest import program
from hub.loopback import LoopbackHub
from PIL import Image

from oneshot_sketch import InstructionLearner, InstructionLearnerConfig, LearnedInstruction, PhotoSketchPair
from oneshot_sketch.model_card import CARD, PREVIEW, SKETCHES

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/share.md").read_text()
PAIR = ROOT / "assets" / "quickstart"


def test_the_guide_runs(hub: LoopbackHub, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pair = PhotoSketchPair.open(PAIR / "pair_photo.jpg", PAIR / "pair_sketch.png")
    config = InstructionLearnerConfig(steps=2, draws=1, grid=1, augmentations=1)
    instruction = InstructionLearner.from_pretrained("mini", config).learn(pair, progress=False)
    instruction.save_pretrained("soft-pencil", preview=pair.sketch)
    Image.open(PAIR / "pair_photo.jpg").save("photo.jpg")
    names: dict[str, Any] = {}
    for language, code in re.findall(r"```(bash|python)\n(.*?)```", GUIDE, flags=re.DOTALL):
        if language == "python":
            exec(compile(code, "share.md", "exec"), names)
        else:
            for line in code.splitlines():
                name, *arguments = shlex.split(line)
                if name == "oneshot-sketch":
                    assert run(*arguments).code == 0
                else:
                    program(hub, tmp_path / "home", name, *arguments)

    repo = hub.repos["someone/soft-pencil"]
    assert "license: cc-by-4.0" in repo.files()[CARD].data.decode()
    assert PREVIEW in repo.files() and SKETCHES not in repo.files()
    assert repo.messages[2] == "A strip of sketches" and SKETCHES in repo.files("bolder")
    pulled = LearnedInstruction.from_pretrained("copy")
    assert pulled.embeddings.numpy().tobytes() == instruction.embeddings.numpy().tobytes()
    sketch = np.asarray(Image.open("sketch.png"))
    assert sketch.std() > 1 and sketch.shape == np.asarray(Image.open("drawn/photo.png")).shape


def test_the_cards_own_snippet_runs(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from the card on the Hub by somebody who has nothing else."""
    pair = PhotoSketchPair.open(PAIR / "pair_photo.jpg", PAIR / "pair_sketch.png")
    config = InstructionLearnerConfig(steps=2, draws=1, grid=1, augmentations=1)
    InstructionLearner.from_pretrained("mini", config).learn(pair, progress=False).push_to_hub("someone/soft-pencil")
    card = hub.repos["someone/soft-pencil"].files()[CARD].data.decode()
    assert "| step | total | reconstruction | edit_cosine |" in card
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Image.open(PAIR / "pair_photo.jpg").save("photo.jpg")
    exec(compile(code, CARD, "exec"), {})
    assert (tmp_path / "sketch.png").stat().st_size > 1000


def test_every_sentence_of_its_table_is_one_that_is_said() -> None:
    said = (ROOT / "oneshot_sketch/hub.py").read_text() + (ROOT / "oneshot_sketch/learned_instruction.py").read_text()
    said = re.sub(r'"\s*f?"', "", said)
    table = GUIDE.partition("## When it does not work")[2]
    quoted = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    openings = [re.split(r"`|, or|, and| and the Hub", line)[0].strip() for line in quoted if line and line != "what to do"]
    assert len(openings) >= 9
    assert [opening for opening in openings if opening not in said] == []
