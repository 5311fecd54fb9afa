"""Many styles in one run, in this process."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import picture
from PIL import Image

from oneshot_sketch import FrozenInstructPix2Pix, InputError, InstructionLearner, InstructionLearnerConfig, LearnedInstruction
from oneshot_sketch.learners.run import Launch, Outcome, learn_styles, start_accelerator
from oneshot_sketch.pair import PhotoSketchPair

CONFIG = InstructionLearnerConfig(steps=4, draws=2, grid=2, augmentations=1, select_every=2, rows=4, text="ink")


def pairs_of(seed: int) -> list[PhotoSketchPair]:
    return [PhotoSketchPair(photo := picture(seed=seed), photo.convert("L"), name=f"sitter {seed}")]


@pytest.fixture
def learner(tiny_frozen: FrozenInstructPix2Pix) -> InstructionLearner:
    return InstructionLearner(tiny_frozen, CONFIG)


STYLES: dict[str, Any] = {"ink": lambda: pairs_of(1), "chalk": lambda: pairs_of(2)}


def damaged() -> list[PhotoSketchPair]:
    raise InputError("sketch.png is truncated; save it again.")


def test_a_style_a_folder_and_one_that_fails_spoils_no_other(learner: InstructionLearner, tmp_path: Path) -> None:
    said = []
    styles = {"ink": STYLES["ink"], "wash": damaged, "blot": lambda: 1 / 0, "chalk": STYLES["chalk"]}
    outcomes = learn_styles(learner, styles, Launch(output_dir=tmp_path), done=said.append)
    assert outcomes == said
    assert [(o.style, o.error, o.is_bug) for o in outcomes] == [
        ("ink", None, False),
        ("wash", "sketch.png is truncated; save it again.", False),
        ("blot", "ZeroDivisionError: division by zero", True),
        ("chalk", None, False),
    ]
    for style in ("ink", "chalk"):
        alone = learner.learn(STYLES[style](), progress=False)
        assert torch.equal(LearnedInstruction.from_pretrained(tmp_path / style).embeddings, alone.embeddings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chalk", "checkpoints", "ink"]


def test_what_is_learned_is_not_learned_again(
    learner: InstructionLearner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_styles(learner, {"ink": STYLES["ink"]}, Launch(output_dir=tmp_path))
    before = (tmp_path / "ink" / "instruction.safetensors").stat().st_mtime_ns
    read: list[str] = []
    again = {style: lambda style=style: read.append(style) or STYLES[style]() for style in STYLES}
    ink, chalk = learn_styles(learner, again, Launch(output_dir=tmp_path, resume="latest"))
    assert (ink.seconds, ink.error, chalk.error) == (None, None, None)
    assert read == ["chalk"]
    assert chalk.seconds
    assert (tmp_path / "ink" / "instruction.safetensors").stat().st_mtime_ns == before

    other = InstructionLearner(learner.backbone, dataclasses.replace(CONFIG, seed=1))
    assert "other settings" in str(learn_styles(other, STYLES, Launch(output_dir=tmp_path, resume="latest"))[0].error)
    assert (tmp_path / "ink" / "instruction.safetensors").stat().st_mtime_ns == before


def test_styles_are_dealt_out_and_every_process_knows_what_became_of_all(
    learner: InstructionLearner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    styles = {str(i): (lambda i=i: pairs_of(i)) for i in range(3)} | {"wash": damaged}
    gathered: list[Outcome] = []
    monkeypatch.setattr("oneshot_sketch.learners.run.gather_object", lambda mine: gathered.extend(mine) or list(gathered))
    own: list[list[str]] = []
    for index in range(2):
        process: Any = SimpleNamespace(process_index=index, num_processes=2)
        said: list[Outcome] = []
        outcomes = learn_styles(learner, styles, Launch(output_dir=tmp_path), process, said.append)
        own.append([outcome.style for outcome in said])
    assert own == [["0", "2"], ["1", "wash"]]
    assert [(outcome.style, bool(outcome.error)) for outcome in outcomes] == [
        ("0", False),
        ("1", False),
        ("2", False),
        ("wash", True),
    ]


def test_an_instruction_without_its_checkpoints_is_not_learned_over(learner: InstructionLearner, tmp_path: Path) -> None:
    launch = Launch(output_dir=tmp_path, resume="latest", checkpointing_steps=4)
    learn_styles(learner, {"": STYLES["ink"]}, launch)
    shutil.rmtree(tmp_path / "checkpoint-4")
    (outcome,) = learn_styles(learner, {"": damaged}, launch)
    assert (outcome.seconds, outcome.error) == (None, None)
    other = InstructionLearner(learner.backbone, dataclasses.replace(CONFIG, seed=1))
    assert "other settings" in complaint(other, {"": STYLES["ink"]}, launch)


@pytest.mark.parametrize("style", ["", "ink"])
def test_a_folder_that_holds_something_is_refused_unless_gone_on_with(
    learner: InstructionLearner, tmp_path: Path, style: str
) -> None:
    def stop(_instruction: Any, _pairs: Any) -> Image.Image:
        raise KeyboardInterrupt

    styles = {style: STYLES["ink"]}
    with pytest.raises(KeyboardInterrupt):
        learn_styles(learner, styles, Launch(output_dir=tmp_path, validation=stop, validation_steps=3))
    launch = Launch(output_dir=tmp_path)
    assert "checkpoints of an earlier run" in complaint(learner, styles, launch)
    learn_styles(learner, styles, dataclasses.replace(launch, resume="latest"))
    assert torch.equal(
        LearnedInstruction.from_pretrained(tmp_path / style).embeddings, learner.learn(STYLES["ink"](), progress=False).embeddings
    )
    assert "an instruction already" in complaint(learner, styles, launch)


def complaint(learner: InstructionLearner, styles: dict[str, Any], launch: Launch) -> str:
    try:
        (outcome,) = learn_styles(learner, styles, launch)
    except InputError as error:
        return str(error)
    return outcome.error or ""


def test_a_checkpoint_of_other_pictures_of_the_same_name_is_refused(learner: InstructionLearner, tmp_path: Path) -> None:
    (pair,) = pairs_of(1)
    learner.learn(pair, progress=False, checkpoint=tmp_path)
    redrawn = dataclasses.replace(pair, sketch=picture(seed=9))
    with pytest.raises(InputError, match="another pictures"):
        learner.learn(redrawn, progress=False, checkpoint=tmp_path)


@pytest.mark.parametrize("style", ["../ink", "a/b", "a\\b", ".hidden", "..", "checkpoints", "i" * 201])
def test_a_name_that_cannot_be_a_folder_is_refused_before_anything_is_learned(
    learner: InstructionLearner, tmp_path: Path, style: str
) -> None:
    with pytest.raises(InputError, match="rename it"):
        learn_styles(learner, {"ink": STYLES["ink"], style: STYLES["chalk"]}, Launch(output_dir=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_previews_are_kept_beside_the_checkpoints(learner: InstructionLearner, tmp_path: Path) -> None:
    def draw(instruction: LearnedInstruction, pairs: Any) -> Image.Image:
        return Image.new("RGB", (instruction.record.steps, len(pairs)))

    launch = Launch(output_dir=tmp_path, preview=draw, validation=draw, validation_steps=2)
    learn_styles(learner, {"ink": STYLES["ink"]}, launch)
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "checkpoints" / "ink" / "previews").iterdir()}
    assert sizes == {"step_000002.png": (2, 1), "step_000004.png": (4, 1)}
    assert Image.open(tmp_path / "ink" / "preview.png").size == (4, 1)


def test_a_checkpoint_too_many_that_a_killed_run_left_goes_when_gone_on_with(learner: InstructionLearner, tmp_path: Path) -> None:
    launch = Launch(output_dir=tmp_path, checkpointing_steps=2, resume="latest")
    learn_styles(learner, {"": STYLES["ink"]}, launch)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    before = (tmp_path / "checkpoint-4" / "state.safetensors").read_bytes()
    learn_styles(learner, {"": STYLES["ink"]}, dataclasses.replace(launch, checkpoints_total_limit=1))
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]
    assert (tmp_path / "checkpoint-4" / "state.safetensors").read_bytes() == before


def test_checkpoints_are_kilobytes(learner: InstructionLearner, tmp_path: Path) -> None:
    learn_styles(learner, {"": STYLES["ink"]}, Launch(output_dir=tmp_path, checkpointing_steps=2, checkpoints_total_limit=1))
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-4"
    rows_and_moments = 5 * 4 * 32 * 4
    assert sum(path.stat().st_size for path in checkpoint.iterdir()) < rows_and_moments + 4096


@pytest.mark.parametrize(
    ("precision", "hint"), [("fp32", "full precision is called no"), ("fp8", "choose one of no, fp16, bf16")]
)
def test_a_precision_spelt_wrong_gets_a_hint(precision: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        start_accelerator(precision)
