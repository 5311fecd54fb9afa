"""What the embedded backbone is made of comes out the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes/mini_backbone"
BUILD = "import sys; from pathlib import Path; from parts import build_tokenizer; build_tokenizer(Path(sys.argv[1]))"


def test_two_processes_build_the_same_tokenizer(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=RECIPES, check=True, capture_output=True)
    for name in ("vocab.json", "merges.txt"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second
    assert json.loads((folders[0] / "vocab.json").read_text())["paper</w>"] > 1
