"""The artefact: composing, saving, and everything that may have happened to it on the way."""

from __future__ import annotations

import errno
import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor

from oneshot_sketch import InputError, InstructionRecord, LearnedInstruction
from oneshot_sketch.learned_instruction import CARD, CONFIG, PREVIEW, WEIGHTS

LENGTH, WIDTH = 77, 8
RECORD = InstructionRecord(
    backbone="tiny",
    fingerprint="0123456789abcdef",
    text="pencil — 鉛筆",
    config={"steps": 5, "train_guidance": None},
    seed=3,
    steps=5,
    best_step=4,
    losses={"reconstruction kept": 0.25},
    drawing={"num_inference_steps": 20, "guidance_scale": 7.5},
    pairs=("ada", "grace"),
    style="chalk",
    licence="CC0-1.0",
    versions={"torch": "2"},
)


def numbered(start: float, length: int = LENGTH) -> Tensor:
    """Rows that tell their index."""
    return (start + torch.arange(length, dtype=torch.float32))[:, None].expand(length, WIDTH).contiguous()


def learned(rows: tuple[int, int] = (1, 9), record: InstructionRecord = RECORD, seed: int = 0) -> LearnedInstruction:
    return LearnedInstruction(*torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(seed)), rows, record)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def same(a: LearnedInstruction, b: LearnedInstruction) -> bool:
    return (
        torch.equal(a.embeddings, b.embeddings)
        and torch.equal(a.neutral, b.neutral)
        and a.rows == b.rows
        and a.record == b.record
    )


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (_explode, (str(self.crater),))


def _explode(crater: str) -> int:
    return Path(crater).write_text("boom")


# ── making one ──


@pytest.mark.parametrize(
    ("embeddings", "neutral", "rows", "reason"),
    [
        (torch.zeros(1, 9, 4), torch.zeros(1, 9, 4), (1, 3), "one shape"),
        (torch.zeros(9, 4), torch.zeros(9, 5), (1, 3), "one shape"),
        (torch.zeros(9, 4), torch.zeros(9, 4), (0, 3), "rows 0…3"),
        (torch.zeros(9, 4), torch.zeros(9, 4), (3, 3), "rows 3…3"),
        (torch.zeros(9, 4), torch.zeros(9, 4), (1, 10), "rows 1…10"),
        (torch.full((9, 4), torch.nan), torch.zeros(9, 4), (1, 3), "NaN"),
        (torch.zeros(9, 4), torch.full((9, 4), -torch.inf), (1, 3), "infinite"),
        (torch.full((9, 4), 1e300, dtype=torch.float64), torch.zeros(9, 4), (1, 3), "infinite"),
    ],
)
def test_what_does_not_fit_together_is_refused(embeddings: Tensor, neutral: Tensor, rows: tuple[int, int], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        LearnedInstruction(embeddings, neutral, rows, RECORD)


def test_tensors_are_copied_to_float32_on_the_cpu(tmp_path: Path) -> None:
    given_rows = torch.zeros(WIDTH, 9, dtype=torch.bfloat16, requires_grad=True).T
    instruction = LearnedInstruction(given_rows, given_rows, (1, 3), RECORD)
    assert instruction.embeddings.dtype == torch.float32
    assert not instruction.embeddings.requires_grad
    given_rows.detach().fill_(1)
    assert not instruction.embeddings.any()
    instruction.save_pretrained(tmp_path / "twice_the_same_tensor")
    assert same(LearnedInstruction.from_pretrained(tmp_path / "twice_the_same_tensor"), instruction)


def test_repr_says_what_it_is() -> None:
    assert repr(learned()) == "LearnedInstruction(77×8, <ins> rows 1–8, for tiny)"


# ── composing ──


def test_strength_spans_from_nothing_to_more() -> None:
    instruction = learned()
    assert torch.equal(instruction.strength(0).embeddings, instruction.neutral)
    assert torch.equal(instruction.strength(1).embeddings, instruction.embeddings)
    for scale in (0.3, 1.7, -1.0):
        expected = instruction.neutral + scale * (instruction.embeddings - instruction.neutral)
        torch.testing.assert_close(instruction.strength(scale).embeddings, expected)
    weaker = instruction.strength(0.5)
    assert torch.equal(weaker.neutral, instruction.neutral)
    assert (weaker.rows, weaker.record) == (instruction.rows, instruction.record)
    with pytest.raises(InputError, match="NaN"):
        instruction.strength(float("nan"))


def test_blend_ends_at_either() -> None:
    one, other = learned((1, 9)), learned((1, 20), replace(RECORD, pairs=("mary",)), seed=1)
    assert torch.equal(one.blend(other, 0).embeddings, one.embeddings)
    assert torch.equal(one.blend(other, 1).embeddings, other.embeddings)
    half = one.blend(other)
    torch.testing.assert_close(half.embeddings, (one.embeddings + other.embeddings) / 2)
    torch.testing.assert_close(half.embeddings, other.blend(one).embeddings)
    assert half.rows == (1, 20)
    assert half.record.pairs == ("ada", "grace", "mary")
    assert one.record.pairs == ("ada", "grace"), "the blended ones are left alone"


def test_blending_across_backbones_is_refused() -> None:
    elsewhere = LearnedInstruction(torch.zeros(9, 4), torch.zeros(9, 4), (1, 3), replace(RECORD, backbone="large"))
    for other in (learned(record=replace(RECORD, fingerprint="f" * 16)), elsewhere):
        with pytest.raises(InputError, match="cannot be blended"):
            learned().blend(other)


# ── joining text (Eq. 7) ──

NUMBERED = LearnedInstruction(numbered(0), numbered(-100), (1, 9), RECORD)


def test_compact_layout_row_by_row(caplog: pytest.LogCaptureFixture) -> None:
    """BOS, 8 <ins> rows, 4 words of the text, its EOS, the last of its padding."""
    joined = NUMBERED.with_text(numbered(1000), end=5)[:, 0].tolist()
    assert joined == [
        *range(9),
        *(1001.0, 1002.0, 1003.0, 1004.0),
        1005.0,
        *(1000.0 + i for i in range(14, 77)),
    ]
    assert not caplog.records


def test_visii_layout_row_by_row(caplog: pytest.LogCaptureFixture) -> None:
    """As `test_concatenate`: s = eos_ins + 2 = 11; rows 0…eos2 − 1 of the text at s, all else the learned row's."""
    joined = NUMBERED.with_text(numbered(1000), end=5, layout="visii")[:, 0].tolist()
    assert joined == [
        *range(9),
        9.0,  # EOS of the instruction
        10.0,  # one row of padding
        *(1000.0, 1001.0, 1002.0, 1003.0, 1004.0),
        *range(16, 77),
    ]
    assert not caplog.records


def test_a_text_without_words() -> None:
    compact = NUMBERED.with_text(numbered(1000), end=1)[:, 0].tolist()
    assert compact == [*range(9), 1001.0, *(1000.0 + i for i in range(10, 77))]
    visii = NUMBERED.with_text(numbered(1000), end=1, layout="visii")[:, 0].tolist()
    assert visii == [*range(11), 1000.0, *range(12, 77)]


@pytest.mark.parametrize(
    ("layout", "kept", "dropped"),
    [("compact", [*range(9), *(1000.0 + i for i in range(1, 68)), 1076.0], 8), ("visii", [*range(11), *range(1000, 1066)], 10)],
)
def test_a_text_too_long_loses_its_end_with_a_warning(
    layout: Any, kept: list[float], dropped: int, caplog: pytest.LogCaptureFixture
) -> None:
    joined = NUMBERED.with_text(numbered(1000), end=76, layout=layout)
    assert joined[:, 0].tolist() == kept
    assert [record.getMessage() for record in caplog.records] == [
        f"The text is {dropped} tokens too long beside the instruction; its end is dropped."
    ]


@given(st.data())
def test_any_text_beside_any_instruction(data: st.DataObject) -> None:
    length = data.draw(st.integers(3, 20), label="length")
    stop = data.draw(st.integers(2, length), label="stop")
    end = data.draw(st.integers(1, length - 1), label="end")
    layout: Any = data.draw(st.sampled_from(["compact", "visii"]), label="layout")
    instruction = LearnedInstruction(numbered(0, length), numbered(-100, length), (1, stop), RECORD)
    logging.disable(logging.WARNING)
    try:
        joined = instruction.with_text(numbered(1000, length), end, layout)
    finally:
        logging.disable(logging.NOTSET)
    assert joined.shape == (length, WIDTH)
    assert torch.equal(joined[:stop], instruction.embeddings[:stop]), "BOS and <ins> rows are untouched"
    first, opening = (stop, 1) if layout == "compact" else (stop + 2, 0)
    place = joined[first:, 0].tolist()
    words = [1000.0 + i for i in range(opening, end)]
    kept = [value for value in place if value in words]
    assert kept == words[: len(kept)], "a beginning of the text"
    assert place[: len(kept)] == kept, "at its place"
    if layout == "compact" and place:
        assert place[len(kept)] == 1000.0 + end, "closed by its EOS"
        assert all(value > 1000 + end for value in place[len(kept) + 1 :]), "and padded by its own padding"
    assert torch.equal(instruction.embeddings, numbered(0, length)), "the instruction itself is not changed"


# ── saving and loading ──


def test_saved_and_loaded_to_the_bit(tmp_path: Path) -> None:
    instruction = learned()
    instruction.save_pretrained(tmp_path / "new" / "pencil", preview=Image.new("RGB", (20, 20)))
    assert sorted(content(tmp_path / "new" / "pencil")) == sorted([CARD, CONFIG, WEIGHTS, PREVIEW])
    assert same(LearnedInstruction.from_pretrained(str(tmp_path / "new" / "pencil")), instruction)


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    learned().save_pretrained(tmp_path / "pencil")
    return tmp_path / "pencil"


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
    change(folder, lambda config: config.update(format_version=2))
    assert "upgrade oneshot-sketch" in refused(folder, "newer")


def test_unknown_entries_are_ignored_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, lambda config: (config["record"].update(zeal=1, hue="red"), config.update(extra=1)))
    assert same(LearnedInstruction.from_pretrained(folder), learned())
    assert "does not know, ignored: hue, zeal" in caplog.text


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


# ── the Hub ──


def answer(error: Exception) -> Callable[..., str]:
    def download(*_args: Any, **_kwargs: Any) -> str:
        raise error

    return download


RESPONSE: Any = SimpleNamespace(headers={}, request=None)


class ConnectError(Exception):
    """Like those of the Hub's HTTP client, which is another one every few versions."""


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("No such file in the cache.\nAnd a second line."),
        OfflineModeIsEnabled("Cannot reach the Hub: offline mode is enabled."),
        RepositoryNotFoundError("404 Client Error.\n\nRepository Not Found.", response=RESPONSE),
        RemoteEntryNotFoundError("404 Client Error.\n\nEntry Not Found.", response=RESPONSE),
        ConnectError("no route to host"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer(error))
    with pytest.raises(InputError, match=r"^nobody/nothing is no local folder and could not be fetched from the Hub \(.*\)\.$"):
        LearnedInstruction.from_pretrained("nobody/nothing")


@pytest.mark.parametrize("name", ["/no/such/folder", "a b", "x" * 5000, "../up", "nul\0byte"])
def test_what_can_be_no_repository_is_not_asked_for(name: str) -> None:
    with pytest.raises(InputError, match="neither a folder nor a Hub repository"):
        LearnedInstruction.from_pretrained(name)


def test_the_hubs_options_are_passed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def download(repo: str, name: str, **options: Any) -> str:
        asked.append((repo, name, options))
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    options = {"revision": "v1", "token": False, "cache_dir": "here", "local_files_only": True}
    assert same(LearnedInstruction.from_pretrained("artist/pencil", **options), learned())
    assert asked == [("artist/pencil", CONFIG, options), ("artist/pencil", WEIGHTS, options)]


# ── VISII ──


def test_a_prompt_of_visii_is_imported(tmp_path: Path) -> None:
    tensor = torch.randn(3, 77, 768, dtype=torch.float16)
    torch.save(tensor, tmp_path / "prompt_embeds_best.pt")
    instruction = LearnedInstruction.from_visii(tmp_path / "prompt_embeds_best.pt")
    assert torch.equal(instruction.embeddings, tensor[0].float())
    assert torch.equal(instruction.neutral, tensor[1].float())
    assert instruction.rows == (1, 11)
    assert instruction.record.backbone == "timbrooks/instruct-pix2pix"
    assert LearnedInstruction.from_visii(tmp_path / "prompt_embeds_best.pt", "mine", rows=3).rows == (1, 4)
    instruction.save_pretrained(tmp_path / "imported")
    assert same(LearnedInstruction.from_pretrained(tmp_path / "imported"), instruction)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(77, 768),
        torch.zeros(4, 77, 8),
        torch.zeros(3, 5, 8),
        torch.full((3, 77, 8), torch.nan),
        torch.zeros(3, 77, 8, dtype=torch.int64),
        torch.zeros(3, 77, 8).to_sparse(),
        [torch.zeros(3, 77, 8)],
        {"weights": 1},
        "text",
    ],
    ids=lambda wrong: f"{type(wrong).__name__}",
)
@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_other_tensor_files_are_refused(tmp_path: Path, wrong: object) -> None:
    torch.save(wrong, tmp_path / "other.pt")
    with pytest.raises(InputError):
        LearnedInstruction.from_visii(tmp_path / "other.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_malicious_tensor_file_never_runs(tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    torch.save(Bomb(crater), tmp_path / "zipped.pt")
    torch.save({"embeds": torch.zeros(3, 77, 8), "bomb": Bomb(crater)}, tmp_path / "hidden.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(crater)))
    (tmp_path / "text.pt").write_text("not a tensor")
    (tmp_path / "folder.pt").mkdir()
    for name in ("zipped.pt", "hidden.pt", "plain.pt", "text.pt", "folder.pt"):
        with pytest.raises(InputError, match=rf"{name} is not a plain tensor file and was not loaded \([^\n]*\)\.$"):
            LearnedInstruction.from_visii(tmp_path / name)
    assert not crater.exists()
    with pytest.raises(InputError, match="does not exist"):
        LearnedInstruction.from_visii(tmp_path / "missing.pt")
