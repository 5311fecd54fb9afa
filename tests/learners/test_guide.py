"""The guide's commands and its Python run in the order in which they are written."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from oneshot_sketch import LearnedInstruction

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/launch.md").read_text()
RECIPE = "recipes/learn_instruction.py"
spec = importlib.util.spec_from_file_location("learn_instruction", ROOT / RECIPE)
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)


def test_the_guide_runs_as_written_but_for_tiny_networks_and_few_steps(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    for folder in ("assets", "recipes"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    short = ["--max_train_steps", "2", "--resolution", "32", "--pretrained_model_name_or_path", str(tiny_backbone)]
    short += ["--cache_dir", str(tmp_path / "cache"), "--validation_steps", "1"]
    launches = 0
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", GUIDE, flags=re.DOTALL):
        if language == "python":
            code = block.replace('"mini"', repr(str(tiny_backbone))).replace("seed=0", "seed=0, steps=2, resolution=32")
            exec(compile(code, "launch.md", "exec"), {})
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if RECIPE not in line:
                subprocess.run(line, shell=True, check=True)
                continue
            launches += 1
            arguments = shlex.split(line.split(RECIPE)[1])
            given = [*arguments, *(short[:6] if "--validation_steps" in arguments else short)]
            assert recipe.guarded(lambda given=given: recipe.run(recipe.parse_args(given))) == 0, line
    assert launches == GUIDE.count(f" {RECIPE} ")
    said = capsys.readouterr().out
    assert "soft-pencil: already learned, in learned/soft-pencil" in said
    assert "charcoal in by-script/charcoal" in said
    one, two = (LearnedInstruction.from_pretrained(tmp_path / name) for name in ("by-one", "by-two"))
    assert (one.record.config["draws"], two.record.config["draws"]) == (8, 4), "by-two has two processes elsewhere"
    for name in ("soft-pencil", "learned/charcoal", "from-table/soft-pencil", "from-dataset/soft", "watched"):
        assert torch.isfinite(LearnedInstruction.from_pretrained(tmp_path / name).embeddings).all()
    assert len(list((tmp_path / "watched" / "logs").rglob("events.*"))) > 0


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"--[a-z]\w+", GUIDE)) - {"--instruction", "--nproc_per_node"}))
def test_every_flag_it_names_exists(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe.parse_args(["--help"])
    known = capsys.readouterr().out
    assert flag in known or flag in ("--cpu", "--num_processes")
