"""Every bad input: one clear sentence, code 2, nothing lost, nothing half-written."""

from __future__ import annotations

import errno
import io
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli.conftest import sketch
from PIL import Image

from oneshot_sketch.batch import read_manifest
from oneshot_sketch.learned_instruction import WEIGHTS

Run = Callable[..., Any]
FULL = OSError(errno.ENOSPC, "No space left on device")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def bad_picture(desk: Path, kind: str) -> Path:
    path = desk / f"bad {kind}.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a picture")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        whole = io.BytesIO()
        Image.open(desk / "photo.png").resize((300, 400)).save(whole, "JPEG")
        path.write_bytes(whole.getvalue()[:2000])
    elif kind == "huge":
        whole = bytearray((desk / "photo.png").read_bytes())
        whole[16:24] = struct.pack(">II", 40_000, 40_000)
        path.write_bytes(whole)
    elif kind == "tiny":
        Image.new("RGB", (8, 8)).save(path)
    elif kind == "nan":
        Image.fromarray(np.full((48, 36), np.nan, np.float32)).save(path, format="TIFF")
    return path


BAD_PICTURES = ("missing", "text", "empty", "truncated", "huge", "tiny", "nan")


# ── learn ──


def learn(run: Run, desk: Path, *options: object, photo: Path | None = None, sketch: Path | None = None) -> Any:
    pair = ("--photo", photo or desk / "photo.png", "--sketch", sketch or desk / "sketch.png")
    return run("learn", *pair, "--output", desk / "pencil", *options)


@pytest.mark.parametrize("place", ["photo", "sketch"])
@pytest.mark.parametrize("kind", [*BAD_PICTURES, "folder"])
def test_learning_from_a_bad_picture(run: Run, desk: Path, kind: str, place: str) -> None:
    bad = bad_picture(desk, kind)
    before = tree(desk)
    assert learn(run, desk, **{place: bad}).complaint.startswith(str(bad))
    assert tree(desk) == before


def test_learning_from_a_mismatched_pair(run: Run, desk: Path) -> None:
    Image.new("L", (80, 48)).save(desk / "wide.png")
    complaint = learn(run, desk, sketch=desk / "wide.png").complaint
    assert "photo.png" in complaint
    assert "wide.png" in complaint
    assert "differ in shape" in complaint


def test_learning_from_pairs_of_several_shapes(run: Run, desk: Path, tiny_backbone: Path) -> None:
    Image.new("L", (80, 48)).save(desk / "wide.png")
    wide = ("--photo", desk / "wide.png", "--sketch", desk / "wide.png")
    assert "the pairs differ in shape" in learn(run, desk, *wide, "--backbone", tiny_backbone).complaint
    assert not list(desk.glob("pencil*"))


def test_learning_from_unequal_numbers(run: Run, desk: Path) -> None:
    assert "2 photos and 1 sketches" in learn(run, desk, "--photo", desk / "photo.png").complaint


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--preset", "banana", "banana"),
        ("--init", "banana", "init is 'banana'"),
        ("--steps", "0", "steps is 0"),
        ("--steps", "-3", "steps is -3"),
        ("--learning-rate", "0", "learning_rate is 0"),
        ("--learning-rate", "nan", "learning_rate is nan"),
        ("--learning-rate", "inf", "learning_rate is inf"),
        ("--edit-weight", "-1", "edit_weight is -1"),
        ("--edit-weight", "nan", "edit_weight is nan"),
        ("--rows", "0", "rows is 0"),
        ("--resolution", "8", "resolution is 8"),
        ("--resolution", "1000000", "resolution is 1000000"),
        ("--seed", "-1", "seed is -1"),
        ("--seed", str(2**64), "seed is"),
        ("--device", "banana", "'banana'"),
        ("--device", "meta", "'meta'"),
        ("--device", "cuda:99", "'cuda:99'"),
        ("--backbone", "/no/such/backbone", "/no/such/backbone"),
        ("--backbone", "", "backbone"),
    ],
)
def test_learning_with_a_bad_option(run: Run, desk: Path, option: str, value: str, named: str) -> None:
    before = tree(desk)
    assert named in learn(run, desk, option, value).complaint
    assert tree(desk) == before


def test_learning_to_a_bad_place(run: Run, desk: Path) -> None:
    (desk / "file").write_text("kept")
    before = tree(desk)
    for place in (desk / "file", ".", "/", desk / ("long" * 100)):
        assert learn(run, desk, "--output", place, "--overwrite").complaint
    assert tree(desk) == before


def test_learning_to_a_place_inside_a_file(run: Run, desk: Path, tiny_backbone: Path) -> None:
    (desk / "file").write_text("kept")
    before = tree(desk)
    said = learn(run, desk, "--output", desk / "file" / "pencil", "--backbone", tiny_backbone, "--steps", 1)
    assert "could not be written" in said.complaint
    assert tree(desk) == before


def test_a_full_disk_loses_no_learning(run: Run, desk: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def fill_up(path: Path, data: bytes) -> int:
        if path.name == WEIGHTS:
            write(path, data[:100])
            raise FULL
        return write(path, data)

    before = tree(desk)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        said = learn(run, desk, "--backbone", tiny_backbone, "--steps", 2)
    assert "pencil could not be written (No space left on device)" in said.complaint
    assert set(tree(desk)) - set(before) == {"pencil.checkpoint/state.safetensors"}
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("what was learned is not learned again"))
        assert learn(run, desk, "--backbone", tiny_backbone, "--steps", 2).code == 0
    assert not list(desk.glob("*.checkpoint"))


def test_a_disk_full_from_the_start(run: Run, desk: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise FULL

    before = tree(desk)
    monkeypatch.setattr(Path, "write_bytes", full)
    said = learn(run, desk, "--backbone", tiny_backbone, "--steps", 2)
    assert "No space left on device" in said.complaint
    assert tree(desk) == before


def test_a_checkpoint_of_another_run(run: Run, desk: Path, tiny_backbone: Path) -> None:
    (desk / "pencil.checkpoint").mkdir()
    state = desk / "pencil.checkpoint" / "state.safetensors"
    state.write_bytes(b"nonsense")
    assert "is damaged" in learn(run, desk, "--backbone", tiny_backbone, "--steps", 2).complaint
    assert state.read_bytes() == b"nonsense"


@pytest.mark.parametrize("words", ["CUDA out of memory. Tried to allocate 2 GiB", "DefaultCPUAllocator: can't allocate memory"])
def test_too_little_memory(run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    def allocate(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr("oneshot_sketch.cli.learning.learn_and_save", allocate)
    assert "not enough memory" in learn(run, desk).complaint


def test_a_bug_keeps_its_traceback(run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("oneshot_sketch.cli.learning.learn_and_save", stumble)
    with pytest.raises(RuntimeError, match="a bug"):
        learn(run, desk)


# ── sketch ──


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_photo_among_good_ones(run: Run, desk: Path, pencil: Path, kind: str) -> None:
    bad = bad_picture(desk, kind)
    said = sketch(run, desk, pencil, desk / "photos" / "ada.png", bad, desk / "photos" / "grace.jpg", "--steps", 1)
    assert said.complaint.startswith(str(bad))
    assert said.out.startswith("2 of 3 photos sketched.")
    assert sorted(tree(desk / "out")) == ["ada.png", "grace.png", "manifest.sqlite"]


def test_nothing_but_bad_photos(run: Run, desk: Path, pencil: Path) -> None:
    bad = [bad_picture(desk, kind) for kind in ("text", "tiny")]
    said = sketch(run, desk, pencil, *bad)
    assert said.complaint.startswith("2 photos were not sketched; the first: ")
    assert not said.out
    assert list(tree(desk / "out")) == ["manifest.sqlite"]
    assert [row.error is None for row in read_manifest(desk / "out")] == [False, False]


def test_photos_that_would_become_one_sketch(run: Run, desk: Path, pencil: Path) -> None:
    shutil.copy(desk / "photos" / "ada.png", desk / "ada.png")
    assert "would both become ada.png" in sketch(run, desk, pencil, desk / "photos", desk / "ada.png").complaint
    assert not (desk / "out").exists()


def test_a_sketch_never_replaces_a_photo(run: Run, desk: Path, pencil: Path) -> None:
    before = tree(desk)
    for photos in (desk / "photos", desk / "photos" / ".." / "photos" / "ada.png"):
        said = run("sketch", photos, "--instruction", pencil, "--output", desk / "photos", "--steps", 1)
        assert "would replace the photo" in said.complaint
    (desk / "link").symlink_to(desk / "photos")
    assert "ada.png" in run("sketch", desk / "photos", "--instruction", pencil, "--output", desk / "link").complaint
    (desk / "link").unlink()
    assert tree(desk) == before


def test_folders_and_places_without_use(run: Run, desk: Path, pencil: Path) -> None:
    (desk / "none").mkdir()
    assert "holds no pictures" in sketch(run, desk, pencil, desk / "none").complaint
    (desk / "out").write_text("kept")
    assert "out is a file" in sketch(run, desk, pencil, desk / "photo.png").complaint
    assert (desk / "out").read_text() == "kept"
    inside = run("sketch", desk / "photo.png", "--instruction", pencil, "--output", desk / "out" / "deep", "--steps", 1)
    assert "could not be written" in inside.complaint
    assert "too long" in run("sketch", desk / "photo.png", "--instruction", pencil, "--output", desk / ("long" * 100)).complaint


def test_nothing_named_and_no_such_data_set(run: Run, desk: Path, pencil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is nothing to sketch" in sketch(run, desk, pencil).complaint
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "could not be opened as a data set" in sketch(run, desk, pencil, "--dataset", desk / "nowhere").complaint
    assert not (desk / "out").exists()


def test_a_folder_that_may_not_be_read(run: Run, desk: Path, pencil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "photos cannot be used (Permission denied)" in sketch(run, desk, pencil, desk / "photos").complaint


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--resolution", "banana", "resolution is 'banana'"),
        ("--resolution", "-64", "resolution is '-64'"),
        ("--resolution", "3", "resolution is 3"),
        ("--resolution", "nan", "resolution is 'nan'"),
        ("--resolution", "1000000", "resolution is 1000000"),
        ("--steps", "0", "num_inference_steps is 0"),
        ("--steps", "-3", "num_inference_steps is -3"),
        ("--steps", "5000", "num_inference_steps is 5000"),
        ("--guidance-scale", "-1", "guidance_scale is -1"),
        ("--guidance-scale", "nan", "guidance_scale is nan"),
        ("--guidance-scale", "inf", "guidance_scale is inf"),
        ("--image-guidance-scale", "0.5", "image_guidance_scale 0.5"),
        ("--device", "banana", "'banana'"),
        ("--backbone", "/no/such/backbone", "/no/such/backbone"),
    ],
)
def test_sketching_with_a_bad_option(run: Run, desk: Path, pencil: Path, option: str, value: str, named: str) -> None:
    before = tree(desk)
    assert named in sketch(run, desk, pencil, desk / "photo.png", option, value).complaint
    assert tree(desk) == before


def test_a_full_disk_keeps_the_sketches_already_drawn(
    run: Run, desk: Path, pencil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def fill_up(image: Image.Image, path: Path, **kwargs: Any) -> None:
        if "grace" in path.name:
            path.write_bytes(b"half")
            raise FULL
        save(image, path, **kwargs)

    monkeypatch.setattr(Image.Image, "save", fill_up)
    said = sketch(run, desk, pencil, desk / "photos", "--steps", 1)
    assert "grace.png could not be written (No space left on device)" in said.complaint
    assert sorted(tree(desk / "out")) == ["ada.png", "manifest.sqlite"]
    assert [row.name for row in read_manifest(desk / "out")] == ["ada"]
