"""A card that the Hub and a reader both understand, and that does not undo what people wrote."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from oneshot_sketch import InstructionRecord
from oneshot_sketch.model_card import (
    MAX_CURVE_ROWS,
    PREVIEW,
    SKETCHES,
    has_licence,
    is_by_hand,
    is_on_the_hub,
    merged_card,
    model_card,
)

RECORD = InstructionRecord(
    backbone="timbrooks/instruct-pix2pix",
    fingerprint="0123456789abcdef",
    text="turn it into a “pencil” sketch",
    config={"learning_rate": 0.01, "train_guidance": None},
    seed=7,
    steps=300,
    best_step=280,
    losses={"reconstruction kept": 0.123456},
    curve={"step": (0, 20, 40), "total": (1.0, 0.5, 0.25)},
    drawing={"num_inference_steps": 20},
    pairs=("ada", "grace"),
    licence="CC0-1.0",
    versions={"torch": "2"},
)


def card(record: InstructionRecord = RECORD, name: str = "someone/pencil") -> str:
    return model_card(name, record, pictures=(PREVIEW, SKETCHES))


def header(text: str) -> dict[str, object]:
    return ModelCard(text, ignore_metadata_errors=False).data.to_dict()


def snippet(text: str) -> ast.Module:
    code = re.search(r"(`{3,})python\n(.*?)\n\1\n", text, re.DOTALL)
    assert code
    return ast.parse(code[2])


# ── what it says ──


def test_the_header_is_the_hubs() -> None:
    assert header(card()) == {
        "library_name": "oneshot-sketch",
        "pipeline_tag": "image-to-image",
        "base_model": "timbrooks/instruct-pix2pix",
        "base_model_relation": "adapter",
        "license": "cc0-1.0",
        "tags": ["oneshot-sketch", "learned-instruction", "sketch"],
    }


@pytest.mark.parametrize(
    ("licence", "entries"),
    [
        ("CC BY-SA 4.0", {"license": "cc-by-sa-4.0"}),
        ("apache_2.0", {"license": "apache-2.0"}),
        ("By leave of the artist", {"license": "other", "license_name": "by-leave-of-the-artist"}),
        (None, {}),
        ("", {}),
    ],
)
def test_licences_as_the_hub_writes_them(licence: str | None, entries: dict[str, str]) -> None:
    said = header(model_card("pencil", replace(RECORD, licence=licence)))
    assert {key: value for key, value in said.items() if key.startswith("license")} == entries


def test_what_is_unknown_is_not_claimed() -> None:
    text = model_card("pencil", InstructionRecord(backbone="mini"))
    assert header(text).keys() == {"library_name", "pipeline_tag", "tags"}, "mini is part of this library, not a model of the Hub"
    assert not has_licence(text)
    assert "Pairs: unknown." in text
    for absent in (PREVIEW, SKETCHES, "Started from", "| measure |", "learning curve", "<details>", "None"):
        assert absent not in text


@pytest.mark.parametrize("name", ["mini", "gpt2", "/home/me/backbone", "./backbone", "a/b/c", r"C:\models\x", "a b/c"])
def test_a_backbone_at_home_is_no_base_model(name: str) -> None:
    assert not is_on_the_hub(name)
    assert "base_model" not in header(card(replace(RECORD, backbone=name)))


def test_the_body_tells_how_it_was_learned() -> None:
    text = card()
    assert "\n# someone/pencil\n" in text
    assert f"]({PREVIEW})" in text and f"]({SKETCHES})" in text
    assert "Pairs: ada, grace. Steps: 300, of which 280 are kept. Seed: 7." in text
    assert "“turn it into a “pencil” sketch”" in text
    assert "| measure | value |\n|---|---|\n| reconstruction kept | 0.1235 |\n" in text
    assert "| step | total |\n|---|---|\n| 0 | 1 |\n| 20 | 0.5 |\n| 40 | 0.25 |\n" in text
    settings = re.search(r"```json\n(.*?)\n```", text, re.DOTALL)
    assert settings
    assert json.loads(settings[1]) == {
        "fingerprint": RECORD.fingerprint,
        "config": RECORD.config,
        "drawing": RECORD.drawing,
        "versions": RECORD.versions,
    }


@pytest.mark.parametrize("points", [2, MAX_CURVE_ROWS, MAX_CURVE_ROWS + 1, 100])
def test_a_long_curve_is_thinned_with_both_ends(points: int) -> None:
    curve = {"total": tuple(float(points - i) for i in range(points)), "step": tuple(range(0, 20 * points, 20))}
    rows = re.findall(r"^\| (\d+) \| (\S+) \|$", card(replace(RECORD, curve=curve)), re.MULTILINE)
    assert len(rows) == min(points, MAX_CURVE_ROWS)
    assert rows[0] == ("0", f"{points:g}") and rows[-1] == (f"{20 * (points - 1)}", "1")
    assert all(float(total) == points - int(step) / 20 for step, total in rows)
    assert sorted(rows, key=lambda row: int(row[0])) == rows


@pytest.mark.parametrize("name", ["pencil", 'the "best" one', r"C:\hands\new", "a'b", "Grüße", "```", "a|b"])
def test_the_snippet_is_python_whatever_the_names(name: str) -> None:
    text = card(replace(RECORD, backbone=name, pairs=(name,), style=name, licence=name, losses={name: 1.0}), name)
    values = [node.value for node in ast.walk(snippet(text)) if isinstance(node, ast.Constant)]
    assert values[:2] == [name, name] or values.count(name) == 2
    header(text)


# ── what people made of it ──

NEWER = replace(RECORD, seed=8, licence="CC-BY-4.0")


def test_a_card_that_nobody_touched_is_replaced() -> None:
    assert not is_by_hand(card())
    merged = merged_card(card(NEWER), card())
    assert "Seed: 8." in merged and "Seed: 7." not in merged
    assert header(merged)["license"] == "cc-by-4.0", "of another sketch"
    assert not is_by_hand(merged)
    assert merged_card(merged, merged) == merged


@pytest.mark.parametrize("empty", ["", "\n", "---\nlicense: mit\n---\n", "---\nlicense: mit\n---"])
def test_a_repository_made_on_the_website_gets_its_card(empty: str) -> None:
    merged = merged_card(card(), empty)
    assert "Seed: 7." in merged
    assert header(merged)["license"] == ("mit" if empty.strip() else "cc0-1.0")


def test_a_text_written_by_hand_stays() -> None:
    old = card().replace("Pairs: ada, grace.", "Drawn by Ada in one afternoon.")
    assert is_by_hand(old)
    for licence in ("CC-BY-4.0", "CC-BY-SA-4.0"):
        before = ModelCard(old).text.partition("<!--")[0]
        old = merged_card(card(replace(NEWER, licence=licence)), old)
        assert ModelCard(old).text.partition("<!--")[0] == before
        assert header(old)["license"] == licence.lower(), "which nobody had changed"
        assert is_by_hand(old), "the next push finds it by hand again"


def test_a_text_without_header_or_stamp_stays_and_gets_a_header() -> None:
    merged = merged_card(card(), "# Mine\n\nAll mine.\n")
    assert ModelCard(merged).text == "# Mine\n\nAll mine.\n"
    assert header(merged) == header(card())


def test_headers_are_merged_facts_over_hands_over_defaults() -> None:
    theirs = "---\nlanguage: fr\npipeline_tag: image-to-video\nbase_model: a/guess\ntags:\n- art\n- sketch\n---\n# Mine\n"
    merged = header(merged_card(card(), theirs))
    assert (merged["language"], merged["pipeline_tag"], merged["license"]) == ("fr", "image-to-video", "cc0-1.0")
    assert merged["base_model"] == RECORD.backbone
    assert merged["tags"] == ["art", "sketch", "oneshot-sketch", "learned-instruction"]


def test_a_header_edited_alone_stays_while_the_text_is_renewed() -> None:
    old = card().replace("license: cc0-1.0", "license: other\nlicense_name: mine\nlicense_link: https://example.org")
    for seed in (8, 9):
        old = merged_card(card(replace(NEWER, seed=seed)), old)
        assert header(old)["license"] == "other" and header(old)["license_link"] == "https://example.org"
        assert f"Seed: {seed}." in old


def test_a_licence_leaves_with_its_name() -> None:
    old = card(replace(RECORD, licence="By leave of the artist"))
    assert "license_name" not in header(merged_card(card(NEWER), old))
    edited = old.replace("Seed: 7.", "Seed: seven.").replace("pipeline_tag", "language: fr\npipeline_tag")
    assert header(merged_card(card(NEWER), edited))["license_name"] == "by-leave-of-the-artist", "the hand-made one stays"
    said = header(merged_card(card(NEWER), edited, licence="MIT"))
    assert said["license"] == "mit" and "license_name" not in said


def test_line_ends_of_an_editor_are_no_edit() -> None:
    assert not is_by_hand(card().replace("\n", "\r\n"))
    assert not is_by_hand(card().rstrip() + "\n\n")


def test_nothing_to_merge_changes_no_byte() -> None:
    old = merged_card(card(), "---\nlanguage: fr  # of the artist\n---\n# Mine\r\n")
    noted = old.replace("language: fr", "language: fr  # of the artist")
    assert merged_card(card(), noted) == noted


@pytest.mark.parametrize("broken", ["---\n: [\n---\n# Mine\n", "---\n- a list\n---\n# Mine\n"])
def test_a_header_that_is_none_is_left_alone(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    assert is_by_hand(broken)
    assert not has_licence(broken)
    assert merged_card(card(), broken) == broken
    assert "left as it is" in caplog.text
