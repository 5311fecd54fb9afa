"""Hostile or damaged instructions and backbones: one clear sentence, code 2, and nothing of theirs is run."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.conftest import sketch

from oneshot_sketch.learned_instruction import CONFIG, WEIGHTS

Run = Callable[..., Any]


def copy_of(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place)
    return place


class Bomb:
    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (_explode, (str(self.crater), "boom"))


def _explode(crater: str, text: str) -> int:
    return Path(crater).write_text(text)


def test_no_instruction_there(run: Run, desk: Path) -> None:
    assert "neither a folder nor a Hub repository" in sketch(run, desk, desk / "nowhere", desk / "photo.png").complaint
    assert f"holds no {CONFIG}" in sketch(run, desk, desk / "photos", desk / "photo.png").complaint
    assert "is a file" in sketch(run, desk, desk / "photo.png", desk / "photo.png").complaint


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / WEIGHTS).unlink(),
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:200]),
        lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 100),
        lambda folder: (folder / CONFIG).write_text("[" * 100_000),
        lambda folder: (folder / CONFIG).write_text("null"),
        lambda folder: (folder / CONFIG).write_text(
            (folder / CONFIG).read_text().replace('"num_inference_steps": 2', '"a": "b"')
        ),
    ],
    ids=["no weights", "truncated", "garbage", "nested", "null", "wrong type"],
)
def test_a_corrupt_instruction(run: Run, desk: Path, pencil: Path, spoil: Callable[[Path], object]) -> None:
    folder = copy_of(pencil, desk / "corrupt")
    spoil(folder)
    assert str(folder) in sketch(run, desk, folder, desk / "photo.png").complaint
    assert not (desk / "out").exists()


def test_a_pickled_instruction_never_runs(run: Run, desk: Path, pencil: Path) -> None:
    folder = copy_of(pencil, desk / "pickled")
    (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb(desk / "crater")))
    assert "is damaged or not an instruction" in sketch(run, desk, folder, desk / "photo.png").complaint
    assert not (desk / "crater").exists()


def test_an_instruction_for_another_backbone(run: Run, desk: Path, tiny_backbone: Path, changed: Callable[..., Path]) -> None:
    said = sketch(run, desk, changed(fingerprint="f" * 16), desk / "photo.png")
    assert "was learned on other weights" in said.complaint
    assert not (desk / "out").exists()


def test_an_instruction_whose_backbone_is_gone(run: Run, desk: Path, changed: Callable[..., Path]) -> None:
    said = sketch(run, desk, changed(backbone="/no/such\n\x1b[2Jbackbone"), desk / "photo.png")
    assert "backbone" in said.complaint
    assert said.complaint.isprintable(), "no record writes to the terminal as it likes"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model_index.json", "null"),
        ("model_index.json", "[1"),
        ("model_index.json", "{}"),
        ("model_index.json", '{"_class_name": 5, "_diffusers_version": []}'),
        ("unet/config.json", "{}"),
        ("unet/config.json", "[]"),
        ("unet/config.json", '{"block_out_channels": "many"}'),
        ("unet/diffusion_pytorch_model.safetensors", "garbage"),
        ("vae/config.json", '{"latent_channels": -1}'),
        ("text_encoder/config.json", "null"),
        ("text_encoder/config.json", '{"hidden_size": 0}'),
        ("text_encoder/config.json", '{"hidden_size": 64, "model_type": "clip_text_model"}'),
        ("text_encoder/model.safetensors", "garbage"),
        ("tokenizer/tokenizer.json", "garbage"),
        ("scheduler/scheduler_config.json", '{"beta_schedule": "banana"}'),
        ("scheduler/scheduler_config.json", '{"num_train_timesteps": "many"}'),
        ("drawing.json", "garbage"),
        ("drawing.json", "[]"),
        ("drawing.json", '{"num_inference_steps": "many"}'),
    ],
)
def test_a_damaged_backbone(
    run: Run, desk: Path, tiny_backbone: Path, changed: Callable[..., Path], name: str, text: str
) -> None:
    folder = copy_of(tiny_backbone, desk / "damaged")
    (folder / name).write_text(text)
    instruction = changed(fingerprint="", drawing={})
    assert "damaged" in sketch(run, desk, instruction, desk / "photo.png", "--backbone", folder).complaint
    assert not (desk / "out").exists()


@pytest.mark.parametrize("way", ["pipeline", "component"])
def test_code_beside_a_backbone_never_runs(run: Run, desk: Path, pencil: Path, tiny_backbone: Path, way: str) -> None:
    folder = copy_of(tiny_backbone, desk / "hostile")
    index = json.loads((folder / "model_index.json").read_text())
    code = f"open({str(desk / 'crater')!r}, 'w').close()\nclass Hostile: pass\n"
    if way == "pipeline":
        index["_class_name"] = ["hostile", "Hostile"]
        (folder / "hostile.py").write_text(code)
    else:
        index["unet"] = ["hostile", "Hostile"]
        (folder / "unet" / "hostile.py").write_text(code)
    (folder / "model_index.json").write_text(json.dumps(index))
    assert "hostile" in sketch(run, desk, pencil, desk / "photo.png", "--backbone", folder).complaint
    assert not (desk / "crater").exists()
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    ("weights", "pickled"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"),
        ("text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"),
    ],
)
def test_pickled_weights_of_a_backbone_never_run(
    run: Run, desk: Path, pencil: Path, tiny_backbone: Path, weights: str, pickled: str
) -> None:
    folder = copy_of(tiny_backbone, desk / "hostile")
    (folder / weights).unlink()
    torch.save({"weight": Bomb(desk / "crater")}, folder / pickled)
    assert "hostile" in sketch(run, desk, pencil, desk / "photo.png", "--backbone", folder).complaint
    assert not (desk / "crater").exists()
    assert not (desk / "out").exists()
