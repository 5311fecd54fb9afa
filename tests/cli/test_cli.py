"""The command from a pair to sketches, and how it behaves when stopped."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from oneshot_sketch import LearnedInstruction
from oneshot_sketch.cli.learning import TONES, learn_and_save, look_drift, open_pairs, warning
from oneshot_sketch.images import save_png
from oneshot_sketch.learned_instruction import CONFIG, WEIGHTS
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.instruction import InstructionLearner, Run
from oneshot_sketch.model_card import CARD, PREVIEW, SKETCHES

Command = Callable[..., Any]
PROGRAM = "from oneshot_sketch.cli.main import main; main()"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def settings_of(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        return json.loads(image.text["oneshot_sketch"])  # type: ignore[attr-defined]


# ── help and usage ──


def test_help_names_every_command_and_option(run: Command) -> None:
    said = run("--help")
    assert said.code == 0
    assert {"quickstart", "learn", "sketch"} <= set(said.out.split())
    options = {
        "quickstart": ("--output", "--seed"),
        "learn": (
            "--photo",
            "--sketch",
            "--output",
            "--backbone",
            "--preset",
            "--steps",
            "--init",
            "--text",
            "--companion-rank",
            "--overwrite",
        ),
        "sketch": ("--instruction", "--output", "--text", "--steps", "--resolution", "--backbone", "--seed", "--device"),
    }
    for command, names in options.items():
        said = run(command, "--help")
        assert said.code == 0
        assert not said.err
        assert set(names) <= set(re.findall(r"--[a-z-]+", said.out))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("draw",),
        ("--loud",),
        ("sketch", "--loud"),
        ("learn", "--photo", "a.png", "--output", "out"),
        ("learn", "--photo", "a.png", "--sketch", "b.png"),
        ("learn", "--photo", "a.png", "--sketch", "b.png", "--output", "out", "--steps", "many"),
        ("sketch", "a.png", "--output", "out"),
        ("sketch", "--instruction", "i", "--output", "out"),
        ("sketch", "a.png", "--instruction", "i"),
        ("sketch", "a.png", "--instruction", "i", "--output", "out", "--seed", "-1"),
        ("sketch", "a.png", "--instruction", "i", "--output", "out", "--seed", 2**64),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)) or "nothing",
)
def test_wrong_usage_is_code_2(run: Command, arguments: tuple[object, ...]) -> None:
    said = run(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err


# ── learn, then sketch ──


def test_a_pair_whose_look_does_not_carry_over_is_told(desk: Path) -> None:
    (pair,) = open_pairs([desk / "photo.png"], [desk / "sketch.png"], None, None)
    same = look_drift([pair], [pair.photo], [pair.sketch])
    assert tuple(same) == TONES
    assert not any(same.values())
    assert warning(same) is None
    black = Image.new("RGB", pair.sketch.size)
    told = warning(look_drift([pair], [pair.photo] * 2, [black] * 2))
    assert told is not None
    assert re.fullmatch(r"On other photos its look differs .*: \d\.\d of 9 levels (more|less) \w+\. The pair may be .*\.", told)
    assert warning(dict.fromkeys(TONES, -3.0) | {"ink": 4.0}).count("4.0 of 9 levels more ink") == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("weights", [(0.0, 2.5, 0.0), (1.5, 0.0, 3.0), (0.0, 0.0, 0.0)])
def test_the_losses_of_drawings_have_weights(run: Command, desk: Path, weights: tuple[float, float, float]) -> None:
    pair = ("--photo", desk / "photo.png", "--sketch", desk / "sketch.png")
    given = ("--fsim-weight", weights[0], "--tone-weight", weights[1], "--shading-weight", weights[2])
    learned = run("learn", *pair, "--output", desk / "pencil", "--steps", 1, *given)
    assert learned.code == 0, learned.err
    record = LearnedInstruction.from_pretrained(desk / "pencil").record
    assert tuple(record.config[f"{name}_weight"] for name in ("fsim", "tone", "shading")) == weights
    assert (record.config["drawings"] > 0) == any(weights)


def test_from_a_pair_to_sketches(run: Command, desk: Path, tiny_backbone: Path) -> None:
    learned = run(
        *("learn", "--photo", desk / "photo.png", "--sketch", desk / "sketch.png", "--output", desk / "pencil"),
        *("--backbone", tiny_backbone, "--steps", 2, "--rows", 6, "--text", "ink", "--seed", 3, "--preview-steps", 1),
        *("--style", "chalk", "--licence", "CC0-1.0", "--device", "cpu"),
    )
    assert learned.code == 0, learned.err
    assert re.fullmatch(
        r"Learned in \d+ s: reconstruction [\d.]+ → [\d.]+, edit cosine [+-][\d.]+ → [+-][\d.]+\. Saved in .*pencil\n",
        learned.out,
    )
    assert "oneshot-sketch:" not in learned.err
    assert listing(desk) == ["pencil", "pencil.previews", "photo.png", "photos", "sketch.png"], "no checkpoint is left"
    assert listing(desk / "pencil") == sorted([CARD, CONFIG, WEIGHTS, PREVIEW, SKETCHES])
    assert listing(desk / "pencil.previews") == ["step_000001.png", "step_000002.png"]
    record = LearnedInstruction.from_pretrained(desk / "pencil").record
    assert (record.backbone, record.steps, record.seed, record.text) == (str(tiny_backbone), 2, 3, "ink")
    assert (record.pairs, record.style, record.licence) == (("photo",), "chalk", "CC0-1.0")
    assert record.curve.keys() == {"step", "total", "reconstruction", "edit_cosine"}
    assert record.curve["step"] == (0, 2)
    assert record.curve["reconstruction"][-1] == record.losses["reconstruction kept"]
    assert "license: cc0-1.0" in (desk / "pencil" / CARD).read_text(encoding="utf-8")

    drawn = run("sketch", desk / "photos" / "ada.png", "--instruction", desk / "pencil", "--output", desk / "out", "--steps", 2)
    assert drawn.code == 0, drawn.err
    assert drawn.out == f"1 of 1 photos sketched. Saved in {desk / 'out'}\n"
    assert listing(desk / "out") == ["ada.png", "manifest.sqlite"]
    settings = settings_of(desk / "out" / "ada.png")
    assert settings["backbone"] == str(tiny_backbone)
    assert list(settings["instruction"]) == ["pencil"]
    assert settings["num_inference_steps"] == 2


def test_a_companion_is_learned_saved_and_drawn_with(run: Command, desk: Path, tiny_backbone: Path) -> None:
    fine = desk / "fine"
    pair = ("--photo", desk / "photo.png", "--sketch", desk / "sketch.png", "--backbone", tiny_backbone, "--output", fine)
    learn = ("learn", *pair, "--steps", 1, "--text", "ink", "--edit-weight", 0)
    assert "companion_rank" in run(*learn, "--companion-rank", 5).complaint
    assert not fine.exists()
    learned = run(*learn, "--companion-rank", 2)
    assert learned.code == 0, learned.err
    assert LearnedInstruction.from_pretrained(fine).companion.rank == 2  # type: ignore[union-attr]
    (fine / "companion.safetensors").write_bytes(b"nonsense")
    drawn = run("sketch", desk / "photo.png", "--instruction", fine, "--output", desk / "drawn")
    assert "companion.safetensors of" in drawn.complaint
    assert not (desk / "drawn" / "photo.png").exists()


def test_several_pairs_of_one_style(run: Command, desk: Path, tiny_backbone: Path) -> None:
    pair = ("--photo", desk / "photo.png", "--sketch", desk / "sketch.png")
    said = run("learn", *pair, *pair, "--output", desk / "pencil", "--backbone", tiny_backbone, "--steps", 1, "--edit-weight", 0)
    assert said.code == 0, said.err
    assert LearnedInstruction.from_pretrained(desk / "pencil").record.pairs == ("photo", "photo")


def test_an_instruction_is_replaced_only_when_asked(run: Command, desk: Path, tiny_backbone: Path) -> None:
    (desk / "pencil").mkdir()
    (desk / "pencil" / CARD).write_text("written by hand")
    command = ("learn", "--photo", desk / "photo.png", "--sketch", desk / "sketch.png", "--output", desk / "pencil")
    refused = run(*command, "--backbone", tiny_backbone, "--steps", 1)
    assert "pencil already exists" in refused.complaint
    assert listing(desk / "pencil") == [CARD]
    assert run(*command, "--backbone", tiny_backbone, "--steps", 1, "--overwrite").code == 0
    assert listing(desk / "pencil") == sorted([CARD, CONFIG, WEIGHTS, PREVIEW, SKETCHES])
    assert (desk / "pencil" / CARD).read_text() == "written by hand"


def test_folders_and_photos_one_sketch_each(run: Command, desk: Path, pencil: Path) -> None:
    command = ("sketch", desk / "photos", desk / "photo.png", desk / "photo.png", "--instruction", pencil)
    said = run(*command, "--output", desk / "new" / "out")
    assert said.code == 0, said.err
    assert listing(desk / "new" / "out") == ["ada.png", "grace.png", "manifest.sqlite", "mary.png", "photo.png"]
    assert said.out.startswith("4 of 4 photos sketched.")


def test_a_seed_is_a_sketch(run: Command, desk: Path, pencil: Path) -> None:
    command = ("sketch", desk / "photos" / "ada.png", "--instruction", pencil)
    for place, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert run(*command, "--output", desk / place, "--seed", seed).code == 0
    a, b, c = ((desk / place / "ada.png").read_bytes() for place in "abc")
    assert a == b
    assert a != c
    assert settings_of(desk / "a" / "ada.png")["seed"] == settings_of(desk / "b" / "ada.png")["seed"]
    assert settings_of(desk / "a" / "ada.png")["seed"] != settings_of(desk / "c" / "ada.png")["seed"]


def test_options_reach_the_sketch(run: Command, desk: Path, pencil: Path) -> None:
    options = ("--text", "soft", "--steps", 3, "--guidance-scale", 2, "--image-guidance-scale", 1.2, "--resolution", 64)
    said = run("sketch", desk / "photo.png", "--instruction", pencil, "--output", desk / "out", *options)
    assert said.code == 0, said.err
    settings = settings_of(desk / "out" / "photo.png")
    kept = ("text", "num_inference_steps", "guidance_scale", "image_guidance_scale")
    assert [settings[key] for key in kept] == ["soft", 3, 2.0, 1.2]
    with Image.open(desk / "out" / "photo.png") as sketch:
        assert list(sketch.size) == settings["size"] == [56, 72]


@pytest.mark.parametrize("kind", ["grey", "alpha", "cmyk", "palette", "deep", "turned"])
def test_unusual_photos_are_sketched(run: Command, desk: Path, pencil: Path, kind: str) -> None:
    photo = Image.open(desk / "photo.png")
    path = desk / "odd.tiff"
    exif = Image.Exif()
    if kind == "turned":
        exif[0x0112] = 6
    modes = {"grey": "L", "alpha": "RGBA", "cmyk": "CMYK", "palette": "P"}
    odd = photo.convert(modes.get(kind, "RGB"))
    if kind == "deep":
        odd = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    odd.save(path, exif=exif)
    said = run("sketch", path, "--instruction", pencil, "--output", desk / "out", "--steps", 1, "--resolution", "photo")
    assert said.code == 0, said.err
    with Image.open(desk / "out" / "odd.png") as sketch:
        assert sketch.size == ((48, 40) if kind == "turned" else (40, 48))


def test_quickstart_lays_everything_on_one_sheet(
    run: Command, desk: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tiny backbone in the place of `mini`, and two steps."""
    assets = desk / "assets"
    (assets / "photos").mkdir(parents=True)
    for name in ("pair_photo.jpg", "pair_sketch.png", "photos/ada.jpg", "photos/grace.jpg"):
        Image.open(desk / "photo.png").save(assets / name)
    fast = InstructionLearnerConfig(steps=2, draws=1, grid=2, augmentations=1)
    monkeypatch.setattr("oneshot_sketch.backbone.MINI", tiny_backbone)
    monkeypatch.setattr("oneshot_sketch.cli.learning.bundled_pictures", lambda: assets)
    monkeypatch.setattr("oneshot_sketch.learners.config.InstructionLearnerConfig", lambda seed: fast)
    said = run("quickstart", "--output", desk / "out")
    assert said.code == 0, said.err
    assert listing(desk / "out") == ["ada.png", "contact_sheet.png", "grace.png", "instruction"]
    assert said.out.endswith(f"Look at {desk / 'out' / 'contact_sheet.png'}\n")
    assert "base_model" not in (desk / "out" / "instruction" / CARD).read_text(encoding="utf-8")


def test_the_quickstarts_pictures_are_there() -> None:
    from oneshot_sketch.cli.learning import bundled_pictures
    from oneshot_sketch.images import list_images

    assert (bundled_pictures() / "pair_photo.jpg").is_file()
    assert (bundled_pictures() / "pair_sketch.png").is_file()
    assert list_images(bundled_pictures() / "photos")


# ── as a program of its own ──


def program(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, encoding="utf-8"
    )


def test_the_program_sketches_even_where_only_ascii_is_spoken(desk: Path, pencil: Path) -> None:
    place = desk / "gezeichnet — 鉛筆"
    command = ("sketch", desk / "photo.png", "--instruction", pencil, "--output", place, "--steps", 1)
    done = program(*command, PYTHONIOENCODING="ascii", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert listing(place) == ["manifest.sqlite", "photo.png"]
    assert "1 of 1 photos sketched" in done.stdout
    said = [line for line in done.stderr.splitlines() if "sketching:" not in line and line.strip()]
    assert not said, "nothing but the bar"


def test_the_program_offline_says_so_in_one_line(desk: Path) -> None:
    command = ("sketch", desk / "photo.png", "--instruction", "nobody/nothing", "--output", desk / "out")
    done = program(*command, HF_HUB_OFFLINE="1", HF_HOME=str(desk / "hub"))
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("oneshot-sketch: nobody/nothing is no folder here and not in the cache, and offline mode is on")
    assert not (desk / "out").exists()


# ── stopped halfway ──


def interrupt_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Ctrl-C at one call of a method."""
    original, calls = getattr(owner, name), itertools.count(1)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.fixture(scope="module")
def uninterrupted(tiny_backbone: Path, drawer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What four steps on the desk's pair come to when nobody interferes."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "pencil"
    pairs = open_pairs([drawer / "photo.png"], [drawer / "sketch.png"], None, None)
    learn_and_save(pairs, InstructionLearnerConfig(steps=4), str(tiny_backbone), folder)
    return folder


@pytest.mark.parametrize(
    ("owner", "method", "call", "keeps"),
    [
        (InstructionLearner, "_judge", 1, False),
        (torch.optim.AdamW, "step", 3, True),
        (Run, "advance", 3, True),
        (InstructionLearner, "_judge", 2, True),
        (LearnedInstruction, "save_pretrained", 1, True),
    ],
    ids=["before the first step", "in a gradient", "in the middle of a step", "after the last step", "while saving"],
)
def test_learning_goes_on_after_ctrl_c_to_the_same_bytes(
    run: Command,
    desk: Path,
    tiny_backbone: Path,
    uninterrupted: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    call: int,
    keeps: bool,
) -> None:
    command = ("learn", "--photo", desk / "photo.png", "--sketch", desk / "sketch.png", "--backbone", tiny_backbone, "--steps", 4)
    with monkeypatch.context() as patch:
        interrupt_at(patch, owner, method, call)
        stopped = run(*command, "--output", desk / "pencil")
    assert stopped.complaint == "stopped; run the same command again to go on."
    assert not (desk / "pencil").exists()
    assert (desk / "pencil.checkpoint" / "state.safetensors").exists() == keeps
    went_on = run(*command, "--output", desk / "pencil")
    assert went_on.code == 0, went_on.err
    assert listing(desk) == ["pencil", "photo.png", "photos", "sketch.png"], "no checkpoint is left"
    for name in (WEIGHTS, CONFIG, PREVIEW):
        assert (desk / "pencil" / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_sketches_already_drawn_survive_ctrl_c(run: Command, desk: Path, pencil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import oneshot_sketch.batch.stream as stream

    calls = itertools.count(1)

    def interrupted(*args: Any) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt
        save_png(*args)

    monkeypatch.setattr(stream, "save_png", interrupted)
    stopped = run("sketch", desk / "photos", "--instruction", pencil, "--output", desk / "out", "--steps", 1)
    assert stopped.complaint.startswith("stopped")
    assert listing(desk / "out") == ["ada.png", "grace.png", "manifest.sqlite"]
