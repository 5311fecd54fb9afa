"""The recipes as people start them, on a folder of tiny pairs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from conftest import picture

from oneshot_sketch.pipelines.ide import IDEPipeline

RECIPES = str(Path(__file__).parents[1] / "recipes")
FIELD = ["patch=8", "step=4", "search=3", "candidates=3"]
SETTINGS = [
    "coarse_scale=0.5",
    "channels=8",
    "num_fams=1",
    "discriminator_channels=4",
    "perceptual_weight=0",
    "batch=2",
    "crop=32",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for i in range(3):
            for side, seed in (("photo", 0), ("sketch", 100)):
                path = tmp_path / "data" / split / side / f"{split}{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture(40, 48, seed + i).save(path)
    return tmp_path / "data"


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)


def train(monkeypatch: pytest.MonkeyPatch, root: Path, output: Path, *more: str) -> int:
    import train_ide  # type: ignore[import-not-found]

    flags = ["--data_set", "folder", "--root", str(root), "--output", str(output), "--field", *FIELD, *more]
    monkeypatch.setattr(sys, "argv", ["train_ide.py", *flags])
    return train_ide.main()


@pytest.mark.usefixtures("recipes")
def test_train_go_on_and_measure(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    assert train(monkeypatch, root, output, "--watch", "2", "--set", *SETTINGS, "steps=2", "save_every=2") == 0
    assert train(monkeypatch, root, output, "--watch", "2", "--set", *SETTINGS, "steps=4", "save_every=2") == 0
    with (output / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]
    assert sorted(path.name for path in (output / "sheets").iterdir()) == ["000002.png", "000004.png"]
    assert len(list((output / "coarse").iterdir())) == 3
    pipe = IDEPipeline.from_pretrained(output / "pipeline")
    assert pipe.enhancer is not None and pipe.field.config["num_pairs"] == 3

    import measure_ide  # type: ignore[import-not-found]

    flags = ["--pipeline", str(output / "pipeline"), "--data_set", "folder", "--root", str(root), "--photos", "2"]
    monkeypatch.setattr(sys, "argv", ["measure_ide.py", *flags, "--output", str(output / "measured")])
    assert measure_ide.main() == 0
    scores = json.loads((output / "measured" / "scores.json").read_text())
    assert scores["photos"] == 2
    folder = output / "measured" / "drawn"
    drawn = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert drawn == ["both stages/test0.png", "both stages/test1.png", "stage one/test0.png", "stage one/test1.png"]
    # the test photos are those of training here, so the field draws their own sketches
    ssim = {
        stage: next(value for name, value in scores[stage].items() if name.startswith("SSIM"))
        for stage in ("stage one", "both stages")
    }
    assert ssim["stage one"] > 0.99 > ssim["both stages"]


@pytest.mark.usefixtures("recipes")
def test_stage_one_alone_from_one_pair(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    assert train(monkeypatch, root, tmp_path / "run", "--stage_one", "--pairs", "1") == 0
    pipe = IDEPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    assert pipe.enhancer is None and pipe.field.config["num_pairs"] == 1


@pytest.mark.usefixtures("recipes")
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--set", "stepps=2"], "no field of IDELearnerConfig"),
        (["--set", "steps"], "is not NAME=VALUE"),
        (["--style", "ink"], "no pairs of split 'train' and style 'ink'"),
        (["--network", "squeezenet", "--weights", "absent.pth"], "absent.pth does not exist"),
        (["--set", "steps=many"], "steps is 'many'; it must be a whole number"),
    ],
)
def test_bad_input_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    sentence: str,
) -> None:
    assert train(monkeypatch, root, tmp_path / "run", *flags) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.startswith("train_ide: ") and "Traceback" not in told
    assert not (tmp_path / "run").exists()
