"""A card that the Hub and a reader both understand."""

from __future__ import annotations

import ast
import re
from dataclasses import asdict, replace

import pytest
from huggingface_hub import ModelCard

from oneshot_sketch import InstructionRecord
from oneshot_sketch.model_card import model_card

RECORD = InstructionRecord(
    backbone="timbrooks/instruct-pix2pix",
    text="turn it into a “pencil” sketch",
    seed=7,
    steps=300,
    losses={"reconstruction kept": 0.123456},
    pairs=("ada", "grace"),
    licence="CC0-1.0",
)


def card(record: InstructionRecord = RECORD, name: str = "pencil", *, has_preview: bool = True) -> str:
    return model_card(name, asdict(record), has_preview=has_preview)


def snippet(text: str) -> ast.Module:
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    return ast.parse(code[1])


def test_the_header_is_the_hubs() -> None:
    data = ModelCard(card(), ignore_metadata_errors=False).data
    assert data.library_name == "oneshot-sketch"
    assert data.pipeline_tag == "image-to-image"
    assert data.base_model == "timbrooks/instruct-pix2pix"
    assert data.license == "cc0-1.0", "the Hub writes licences small"
    assert {"oneshot-sketch", "learned-instruction"} <= set(data.tags or [])


def test_what_is_unknown_is_not_claimed() -> None:
    data = ModelCard(card(InstructionRecord(backbone="mini"))).data
    assert data.base_model is None, "mini is part of this library, not a model on the Hub"
    assert data.license is None
    text = card(InstructionRecord(backbone="mini"), has_preview=False)
    assert "Pairs: unknown." in text
    assert "preview.png" not in text
    assert "Started from" not in text
    assert "| measure |" not in text
    assert "None" not in text


def test_the_body_tells_how_it_was_learned() -> None:
    text = card()
    assert "\n# pencil\n" in text
    assert "](preview.png)" in text
    assert "Pairs: ada, grace. Steps: 300. Seed: 7." in text
    assert "“turn it into a “pencil” sketch”" in text
    assert "| reconstruction kept | 0.1235 |" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("name", ["pencil", 'the "best" one', r"C:\hands\new", "a'b", "Grüße"])
def test_the_snippet_is_python_whatever_the_names(name: str) -> None:
    calls = [node for node in ast.walk(snippet(card(replace(RECORD, backbone=name), name))) if isinstance(node, ast.Constant)]
    assert [node.value for node in calls] == [name, name, 0]
    ModelCard(card(replace(RECORD, backbone=name, licence=name), name))
