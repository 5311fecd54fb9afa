from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from on_disk import contents, put_pair
from safetensors.torch import save_file
from tiny_stylegan import tiny_stylegan

from oneshot_sketch import InputError
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pipelines.stylesketch import StyleSketchPipeline

RECIPE = Path(__file__).parents[1] / "recipes" / "train_stylesketch.py"
spec = importlib.util.spec_from_file_location("train_stylesketch", RECIPE)
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Two quick steps on a tiny StyleGAN and two pairs."""
    tiny_stylegan().save_pretrained(tmp_path / "stylegan")
    for i, name in enumerate(("ada", "bob")):
        put_pair(tmp_path / "pairs", i, name)
    save_file({"ws": torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))}, tmp_path / "ws.safetensors")
    words = "--steps 2 --clip_weight 0 --perceptual_weight 0 --part_weight 0 --width 8 --discriminator_width 4 --judge_every 1"
    given = {"stylegan": "stylegan", "pairs": "pairs", "latents": "ws.safetensors", "output": "out"}
    return [*words.split(), *(word for key, path in given.items() for word in (f"--{key}", str(tmp_path / path)))]


def test_what_it_trains_draws(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.run(recipe.parse_args(command))
    assert "L1 0." in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["pairs"] == ["ada", "bob"]
    assert (record["config"]["steps"], record["config"]["width"], record["config"]["perceptual_side"]) == (2, 8, 224)
    stylegan = StyleGAN2Generator.from_pretrained(tmp_path / "stylegan")
    pipe = StyleSketchPipeline(stylegan, StyleSketchGenerator.from_pretrained(tmp_path / "out"))
    assert pipe(latents=torch.zeros(1, 8, 16)).images[0].size == (32, 32)
    before = contents(tmp_path / "out")
    recipe.run(recipe.parse_args(command))
    assert contents(tmp_path / "out") == before, "a finished run is not trained again"
    with pytest.raises(InputError, match="another config"):
        recipe.run(recipe.parse_args([*command, "--seed", "1"]))
    assert contents(tmp_path / "out") == before


def test_none_and_switches_are_read(command: list[str]) -> None:
    args = recipe.parse_args([*command, "--perceptual_side", "none", "--perceptual_caffe", "--perceptual_weights", "a.pth"])
    assert (args.perceptual_side, args.perceptual_caffe, args.perceptual_weights) == (None, True, "a.pth")


def test_photos_are_inverted_where_latents_are_not_known(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = command.index("--latents")
    recipe.run(recipe.parse_args(command[:at] + command[at + 2 :]))
    errors = json.loads((tmp_path / "out" / "record.json").read_text())["inversion_errors"]
    assert len(errors) == 2
    assert all(0 < error < 1 for error in errors)
    assert "Inversion error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--latents", "none.safetensors", "does not exist"),
        ("--latents", "stylegan/config.json", "no tensor ws"),
        ("--stylegan", "pairs", "could not be loaded as a StyleGAN2Generator"),
        ("--steps", "0", "steps is 0"),
    ],
)
def test_unusable_input_leaves_nothing_behind(command: list[str], tmp_path: Path, flag: str, value: str, sentence: str) -> None:
    value = str(tmp_path / value) if flag != "--steps" else value
    with pytest.raises(InputError, match=sentence):
        recipe.run(recipe.parse_args([*command, flag, value]))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.state").exists()


def test_at_the_door_it_is_one_sentence_and_exit_code_two(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(RECIPE), *command, "--pairs", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(RECIPE), run_name="__main__")
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("train_stylesketch: ")
    assert told.count("\n") == 1
