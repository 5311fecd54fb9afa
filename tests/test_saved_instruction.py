"""Instructions as folders: saved, loaded, and everything that may have happened to them on the way."""

from __future__ import annotations

import errno
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instructions import LENGTH, RECORD, WIDTH, Bomb, content, learned, same
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor

from oneshot_sketch import InputError, InstructionRecord, LearnedInstruction
from oneshot_sketch.learned_instruction import CONFIG, WEIGHTS
from oneshot_sketch.model_card import CARD, PREVIEW, SKETCHES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    learned().save_pretrained(tmp_path / "pencil")
    return tmp_path / "pencil"


# ── saving and loading ──


def test_saved_and_loaded_to_the_bit(tmp_path: Path) -> None:
    instruction = learned()
    pictures = {"preview": Image.new("RGB", (20, 20), "red"), "sketches": Image.new("RGB", (40, 20), "blue")}
    instruction.save_pretrained(tmp_path / "new" / "pencil", **pictures)
    assert sorted(content(tmp_path / "new" / "pencil")) == sorted([CARD, CONFIG, WEIGHTS, PREVIEW, SKETCHES])
    loaded = LearnedInstruction.from_pretrained(str(tmp_path / "new" / "pencil"))
    assert same(loaded, instruction)
    assert (loaded.preview, loaded.sketches, loaded.card) == (pictures["preview"], pictures["sketches"], None)
    loaded.save_pretrained(tmp_path / "copy" / "pencil")
    assert content(tmp_path / "copy" / "pencil") == content(tmp_path / "new" / "pencil")


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        learned().save_pretrained(tmp_path / parent / "pencil", preview=Image.new("RGB", (20, 20)))
    assert content(tmp_path / "a" / "pencil") == content(tmp_path / "b" / "pencil")
    learned().save_pretrained(tmp_path / "a" / "pencil", preview=Image.new("RGB", (20, 20)))
    assert content(tmp_path / "a" / "pencil") == content(tmp_path / "b" / "pencil")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["pencil"]


def test_the_stock_readers_understand_it(tmp_path: Path) -> None:
    learned().save_pretrained(tmp_path / "pencil")
    assert set(load_file(tmp_path / "pencil" / WEIGHTS)) == {"embeddings", "neutral"}
    config = json.loads((tmp_path / "pencil" / CONFIG).read_text(encoding="utf-8"))
    assert (config["format_version"], config["shape"], config["rows"]) == (1, [LENGTH, WIDTH], [1, 9])
    assert config["record"] == json.loads(json.dumps(asdict(RECORD)))


def test_a_damaged_picture_keeps_nobody_from_drawing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / PREVIEW).write_bytes(b"no picture")
    loaded = LearnedInstruction.from_pretrained(folder)
    assert same(loaded, learned())
    assert loaded.preview is None
    assert "A picture of the card is left out" in caplog.text


def test_a_card_that_nobody_touched_is_written_anew(folder: Path) -> None:
    before = (folder / CARD).read_text(encoding="utf-8")
    learned(record=replace(RECORD, seed=41)).save_pretrained(folder, preview=Image.new("RGB", (20, 20)))
    after = (folder / CARD).read_text(encoding="utf-8")
    assert "Seed: 3." in before and PREVIEW not in before
    assert "Seed: 41." in after and PREVIEW in after


@pytest.mark.parametrize("edit", [("Seed: 3.", "Seed: three!"), ("license: cc0-1.0", "license: mit"), ("\n", "\r\nmore\r\n")])
def test_a_card_that_was_edited_is_kept_and_goes_along(folder: Path, tmp_path: Path, edit: tuple[str, str]) -> None:
    card = (folder / CARD).read_bytes().decode().replace(*edit)
    (folder / CARD).write_bytes(card.encode())
    loaded = LearnedInstruction.from_pretrained(folder)
    assert loaded.card == card
    loaded.save_pretrained(folder)
    loaded.save_pretrained(tmp_path / "elsewhere")
    for place in (folder, tmp_path / "elsewhere"):
        assert (place / CARD).read_bytes().decode() == card


def test_a_card_in_an_odd_encoding_is_not_written_over(folder: Path) -> None:
    (folder / CARD).write_bytes("geschrieben für Jürgen".encode("latin-1"))
    learned().save_pretrained(folder)
    assert (folder / CARD).read_bytes() == "geschrieben für Jürgen".encode("latin-1")


def test_misspelt_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="privat"):
        learned().save_pretrained(tmp_path / "pencil", privat=True)
    assert not list(tmp_path.iterdir())


def test_a_card_that_is_there_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "pencil"
    folder.mkdir()
    (folder / CARD).write_text("written by hand")
    (folder / "notes.txt").write_text("mine")
    learned().save_pretrained(folder)
    assert (folder / CARD).read_text() == "written by hand"
    assert (folder / "notes.txt").read_text() == "mine"
    assert same(LearnedInstruction.from_pretrained(folder), learned())


@pytest.mark.parametrize("failing", [CONFIG, WEIGHTS, CARD])
def test_a_failing_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    folder = tmp_path / "pencil"
    learned().save_pretrained(folder)
    if failing == CARD:
        (folder / CARD).unlink()
    before = content(folder)

    def fill_up(path: Path, data: Any, *args: Any, **kwargs: Any) -> int:
        if path.name == failing:
            path.open("wb").write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return path.open("wb").write(data if isinstance(data, bytes) else data.encode())

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    monkeypatch.setattr(Path, "write_text", fill_up)
    with pytest.raises(InputError, match="pencil could not be written"):
        learned(seed=1).save_pretrained(folder)
    with pytest.raises(InputError, match="other could not be written"):
        learned(seed=1).save_pretrained(tmp_path / "other")
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_places_that_cannot_be_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for place in (tmp_path / "file", tmp_path / "file" / "inside", Path()):
        with pytest.raises(InputError):
            learned().save_pretrained(place)
    assert (tmp_path / "file").read_text() == "kept"


# ── what may have happened to it ──


def refused(folder: Path, reason: str = ".") -> str:
    """The one sentence with which the folder is refused."""
    with pytest.raises(InputError, match=reason) as caught:
        LearnedInstruction.from_pretrained(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    edit(config)
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    change(folder, lambda config: config.update(format_version=3))
    assert "upgrade oneshot-sketch" in refused(folder, "newer")


def test_unknown_entries_are_ignored_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, lambda config: (config["record"].update(zeal=1, hue="red"), config.update(extra=1)))
    assert same(LearnedInstruction.from_pretrained(folder), learned())
    assert "does not know, ignored: hue, zeal" in caplog.text


def test_a_run_that_diverged_is_still_a_record(tmp_path: Path) -> None:
    curve = {"step": (0, 1), "total": (1.0, float("inf"))}
    learned(record=replace(RECORD, curve=curve)).save_pretrained(tmp_path / "wild")
    assert LearnedInstruction.from_pretrained(tmp_path / "wild").record.curve == curve


def test_a_record_of_little_is_enough(folder: Path) -> None:
    change(folder, lambda config: config.update(record={"backbone": "tiny"}))
    assert LearnedInstruction.from_pretrained(folder).record == InstructionRecord(backbone="tiny")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"record": ' * 50_000 + b"1" + b"}" * 50_000,
        b'{"rows": [1, ' + b"9" * 5000 + b"]}",
        b"[" + b"[]," * 400_000 + b"[]]",
        b"[]",
        b"null",
        b'"oneshot_sketch.LearnedInstruction"',
        b"{}",
        b'{"kind": "something.Else"}',
    ],
    ids=lambda text: repr(text[:16]),
)
def test_a_config_that_is_none_is_refused(folder: Path, text: bytes) -> None:
    (folder / CONFIG).write_bytes(text)
    assert CONFIG in refused(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", None),
        ("format_version", "1"),
        ("format_version", 1.0),
        ("format_version", 0),
        ("rows", None),
        ("rows", [1]),
        ("rows", [1, "9"]),
        ("rows", [1, 9.0]),
        ("rows", [True, 9]),
        ("rows", [0, 9]),
        ("rows", [9, 1]),
        ("rows", [1, 78]),
        ("rows", [1, 10**30]),
        ("rows", {"0": 1, "1": 9}),
        ("shape", [77]),
        ("shape", [8, 77]),
        ("shape", "77×8"),
        ("record", None),
        ("record", []),
        ("record", {}),
        ("record", {"fingerprint": "0"}),
    ],
)
def test_wrong_entries_of_the_config_are_refused(folder: Path, key: str, value: Any) -> None:
    change(folder, lambda config: config.update({key: value}))
    refused(folder)
    change(folder, lambda config: config.pop(key))
    refused(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone", None),
        ("backbone", ["tiny"]),
        ("fingerprint", 5),
        ("text", None),
        ("config", "fast"),
        ("seed", "0"),
        ("seed", 1.5),
        ("steps", True),
        ("best_step", None),
        ("losses", [0.1]),
        ("losses", {"kept": "low"}),
        ("losses", {"kept": 10**400}),
        ("curve", [1.0]),
        ("curve", {"total": [1.0]}),
        ("curve", {"step": 1}),
        ("curve", {"step": [0, 1], "total": [1.0]}),
        ("curve", {"step": [0], "total": ["low"]}),
        ("curve", {"step": [10**400], "total": [1.0]}),
        ("drawing", "fast"),
        ("drawing", {"guidance_scale": "strong"}),
        ("drawing", {"guidance_scale": float("nan")}),
        ("drawing", {"num_inference_steps": float("inf")}),
        ("drawing", {"num_inference_steps": 10**400}),
        ("drawing", {"num_inference_steps": [20]}),
        ("pairs", 5),
        ("pairs", "ada"),
        ("pairs", [1]),
        ("style", 5),
        ("licence", ["CC0-1.0"]),
        ("versions", None),
    ],
)
def test_wrong_types_in_the_record_are_refused_by_name(folder: Path, key: str, value: Any) -> None:
    change(folder, lambda config: config["record"].update({key: value}))
    refused(folder, key)


def weights(**tensors: Tensor) -> bytes:
    whole = {"embeddings": torch.zeros(LENGTH, WIDTH), "neutral": torch.zeros(LENGTH, WIDTH)}
    return save({name: tensor for name, tensor in (whole | tensors).items() if tensor.numel()})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged"),
        (b"not safetensors at all, but a longish sentence", "damaged"),
        ((10**12).to_bytes(8, "little") + b"{}", "damaged"),
        (weights()[:-100], "damaged"),
        (weights()[:20], "damaged"),
        (weights() + b"tail", "damaged"),
        (weights(neutral=torch.zeros(0)), "neutral"),
        (weights(embeddings=torch.zeros(WIDTH, LENGTH)), "does not match"),
        (weights(neutral=torch.zeros(LENGTH, WIDTH + 1)), "one shape"),
        (weights(embeddings=torch.zeros(LENGTH, WIDTH, 1)), "does not match"),
        (weights(embeddings=torch.zeros(LENGTH, WIDTH, dtype=torch.int64)), "does not match"),
        (weights(neutral=torch.zeros(LENGTH, WIDTH, dtype=torch.complex64)), "does not match"),
        (weights(neutral=torch.zeros(LENGTH, WIDTH).to(torch.float8_e4m3fn)), "does not match"),
        (weights(embeddings=torch.full((LENGTH, WIDTH), torch.nan)), "NaN"),
        (weights(neutral=torch.full((LENGTH, WIDTH), torch.inf)), "infinite"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else value,
)
def test_damaged_weights_are_refused(folder: Path, data: bytes, reason: str) -> None:
    (folder / WEIGHTS).write_bytes(data)
    refused(folder, reason)


@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), name=st.sampled_from([CONFIG, WEIGHTS]))
def test_one_wrong_byte_is_an_instruction_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, place: float, value: int, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        learned().save_pretrained(folder)
    whole = (folder / name).read_bytes()
    data = bytearray(whole)
    data[int(place**4 * len(data))] = value  # mostly in the header
    (folder / name).write_bytes(data)
    try:
        LearnedInstruction.from_pretrained(folder)
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_pickle_in_place_of_a_file_never_runs(folder: Path, tmp_path: Path, name: str) -> None:
    crater = tmp_path / "crater"
    for write in (lambda path: path.write_bytes(pickle.dumps(Bomb(crater))), lambda path: torch.save(Bomb(crater), path)):
        write(folder / name)
        refused(folder)
    assert not crater.exists()
    pickle.loads(pickle.dumps(Bomb(crater)))
    assert crater.exists(), "the bomb is live"


def test_incomplete_and_oversized_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(65 * 2**20)
    assert "larger than 64 MiB" in refused(folder)
    (folder / WEIGHTS).unlink()
    assert f"holds no {WEIGHTS}" in refused(folder)
    (folder / WEIGHTS).mkdir()
    assert f"holds no {WEIGHTS}" in refused(folder)
    (folder / CONFIG).unlink()
    assert f"holds no {CONFIG}" in refused(folder)
    assert "is a file" in refused(folder / CARD)


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), IsADirectoryError(errno.EISDIR, "Is a directory")]
)
def test_unreadable_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        refused(folder, WEIGHTS)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        refused(folder, CONFIG)
