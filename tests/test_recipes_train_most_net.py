"""The recipe as people start it: gone on with, on one pair, and given unusable input."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from on_disk import contents
from PIL import Image
from small_most_net import SMALL, pairs
from torchvision.models import squeezenet1_1

from oneshot_sketch.pipelines.most_net import MostNetPipeline

spec = importlib.util.spec_from_file_location("train_most_net", Path(__file__).parents[1] / "recipes" / "train_most_net.py")
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
sys.modules["train_most_net"] = recipe
spec.loader.exec_module(recipe)

Train = Callable[..., int]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Few steps of a small network on three training and two test pairs of tmp_path/data; returns the exit code."""
    for i, pair in enumerate(pairs(5)):
        for side, image in (("photo", pair.photo), ("sketch", pair.sketch)):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "data" / side / f"{'train' if i < 3 else 'test'}_{i}.png")
    torch.manual_seed(0)
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeeze.pth")
    heads = {f"lin{i}.model.1.weight": torch.ones(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 384, 384, 512, 512))}
    torch.save(heads, tmp_path / "heads.pth")

    def run(output: str, *more: str) -> int:
        words = {"data": tmp_path / "data", "output": tmp_path / output, "network": "squeezenet"} | SMALL
        words |= {"weights": tmp_path / "squeeze.pth", "size": 48, "judge_every": 2}
        flags = [word for key, value in words.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        monkeypatch.setattr("sys.argv", ["train_most_net", *flags, *more])
        return recipe.main()

    return run


def test_it_leaves_a_pipeline_pictures_a_curve_and_scores(train: Train, tmp_path: Path) -> None:
    lpips = ("--squeeze-lpips", str(tmp_path / "squeeze.pth"), str(tmp_path / "heads.pth"))
    assert train("run", "--flip", *lpips) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert [name.split(" ")[0] for name in scores] == ["SSIM", "FSIM", "LPIPS", "Fréchet"]
    assert all("40×50 px" in name for name in scores)
    assert sorted(path.name for path in (tmp_path / "run" / "drawn").iterdir()) == ["test_3.png", "test_4.png"]
    drawn = MostNetPipeline.from_pretrained(tmp_path / "run" / "pipeline")(pairs(5)[3].photo, return_dict=False)[0][0]
    assert drawn.tobytes() == Image.open(tmp_path / "run" / "drawn" / "test_3.png").convert("RGB").tobytes()
    assert [row["step"] for row in csv.DictReader((tmp_path / "run" / "curve.csv").open())] == ["2", "4"]
    assert [row["step"] for row in csv.DictReader((tmp_path / "run" / "judged.csv").open())] == ["2", "4"]


def test_stopped_and_started_again_it_leaves_the_same_bytes(train: Train, tmp_path: Path) -> None:
    assert train("whole") == 0
    assert train("parts", "--minutes", "1e-9") == 0
    assert not (tmp_path / "parts" / "judged.csv").exists()  # it did stop after a step
    assert train("parts") == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_one_pair_is_enough(train: Train, tmp_path: Path) -> None:
    assert train("one", "--pairs", "1", "--style-weight", "0", "--content-weight", "0", "--network", "vgg19") == 0
    assert (tmp_path / "one" / "scores.json").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--dataset", "coco"], "no data set 'coco'"),
        (["--pairs", "0"], "--pairs is 0"),
        (["--style", "brush"], "has 0 pairs to train on and 0 to test"),
        (["--test-share", "2"], "the share of test pairs is 2.0"),
        (["--width", "wide"], "--width"),
        (["--weights", "nothing.pth"], "nothing.pth does not exist"),
        (["--decay-share", "3"], "decay_share is 3"),
    ],
)
def test_unusable_input_is_one_sentence(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert train("bad", *flags) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "bad").exists()


def test_a_run_with_other_settings_is_left_alone(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run") == 0
    before = contents(tmp_path / "run")
    assert train("run", "--seed", "1") == 2
    assert "another folder" in capsys.readouterr().err
    assert contents(tmp_path / "run") == before
