"""Making and composing instructions, and importing those of VISII."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from instructions import LENGTH, RECORD, WIDTH, Bomb, learned, same
from torch import Tensor

from oneshot_sketch import InputError, LearnedInstruction


def numbered(start: float, length: int = LENGTH) -> Tensor:
    """Rows that tell their index."""
    return (start + torch.arange(length, dtype=torch.float32))[:, None].expand(length, WIDTH).contiguous()


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
