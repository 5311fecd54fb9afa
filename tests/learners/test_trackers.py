"""What is told to trackers is there to be read again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from oneshot_sketch import FrozenInstructPix2Pix, InputError, InstructionLearner, InstructionLearnerConfig, PhotoSketchPair
from oneshot_sketch.learners.run import Launch, learn_styles
from oneshot_sketch.learners.trackers import Reports

CONFIG = InstructionLearnerConfig(steps=4, draws=2, grid=2, augmentations=1, select_every=2, rows=4, text="ink")


def test_tensorboard_gets_all_losses_the_rate_and_pictures_style_by_style(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, tmp_path: Path
) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    launch = Launch(
        output_dir=tmp_path / "out",
        reports=Reports(["tensorboard"], tmp_path / "logs"),
        validation=lambda _instruction, _pairs: Image.new("RGB", (24, 8), "red"),
        validation_steps=2,
    )
    learner = InstructionLearner(tiny_frozen, CONFIG)
    styles = {"ink": lambda: [pair], "chalk": lambda: [pair]}
    assert not any(outcome.error for outcome in learn_styles(learner, styles, launch))
    seen: list[float] = []
    learner.learn(pair, progress=False, callback=lambda state: seen.append(state.reconstruction))
    for style in styles:
        events = event_accumulator.EventAccumulator(str(tmp_path / "logs" / style)).Reload()
        assert {"reconstruction", "edit_cosine", "fsim", "tone", "shading", "lr"} <= set(events.Tags()["scalars"])
        assert [event.step for event in events.Scalars("reconstruction")] == [1, 2, 3, 4]
        assert [event.value for event in events.Scalars("reconstruction")] == pytest.approx(seen)
        first = CONFIG.learning_rate / CONFIG.warmup
        assert events.Scalars("lr")[0].value == pytest.approx(first), "the first step of the warm-up"
        assert [(event.step, event.width, event.height) for event in events.Images("validation")] == [(2, 24, 8), (4, 24, 8)]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_others_run_offline(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(tmp_path / "trackio")}
    for variable, value in here.items():
        monkeypatch.setenv(variable, value)
    module = pytest.importorskip(name)
    trackers = Reports([name], tmp_path / "logs").open("ink", {"rows": None, "scale": (1, 2), "steps": 4})
    trackers.log({"reconstruction": 0.5}, 1)
    trackers.log_image("validation", Image.new("RGB", (24, 8)), 1)
    trackers.close()
    if name == "wandb":
        module.teardown()  # ends its service, which writes the file
        (kept,) = tmp_path.glob("logs/wandb/offline-run-*/run-*.wandb")
        assert b"reconstruction" in kept.read_bytes()
        (picture,) = tmp_path.glob("logs/wandb/offline-run-*/files/media/images/validation_1_*.png")
    else:
        (picture,) = tmp_path.glob("trackio/media/oneshot-sketch/ink/1/*.png")
    assert Image.open(picture).size == (24, 8)


def test_a_tracker_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "ink").write_text("in the way")
    with pytest.raises(InputError, match="tensorboard could not be started"):
        Reports(["tensorboard"], tmp_path / "logs").open("ink", asdict(CONFIG))


def test_unknown_and_missing_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no tracker 'papertrail'; choose one of tensorboard"):
        Reports(["papertrail"], tmp_path)
    monkeypatch.setattr("oneshot_sketch.learners.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install wandb"):
        Reports(["wandb"], tmp_path)
    assert Reports(["all"], tmp_path).names == ()
