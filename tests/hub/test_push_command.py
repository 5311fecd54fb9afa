"""`oneshot-sketch push`, and the `hf` command, which knows nothing of us."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Run
from conftest import picture
from hub.conftest import program
from hub.loopback import LoopbackHub
from instructions import content, learned, same

from oneshot_sketch import InstructionRecord, LearnedInstruction
from oneshot_sketch.learned_instruction import CONFIG, WEIGHTS
from oneshot_sketch.model_card import CARD

REPO = "someone/soft-pencil"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    learned().save_pretrained(tmp_path / "soft-pencil")
    return tmp_path / "soft-pencil"


# ── oneshot-sketch push ──


def test_a_folder_goes_up(hub: LoopbackHub, run: Run, folder: Path) -> None:
    said = run("push", folder, REPO, "--private", "--message", "First hand")
    assert said.code == 0, said.err
    assert said.out == f"Look at {hub.url}/{REPO}/commit/{hub.repos[REPO].refs['main']}\n"
    assert hub.repos[REPO].private and hub.repos[REPO].messages[-1] == "First hand"
    assert same(LearnedInstruction.from_pretrained(REPO), learned())

    learned(seed=1).save_pretrained(folder)
    assert run("push", folder, REPO, "--branch", "bolder").code == 0
    assert run("push", folder, REPO, "--create-pr").out == f"Look at {hub.url}/{REPO}/discussions/1\n"
    for revision, seed in (("main", 0), ("bolder", 1), ("refs/pr/1", 1)):
        assert same(LearnedInstruction.from_pretrained(REPO, revision=revision), learned(seed=seed))


def test_a_branch_is_sketched_with(
    hub: LoopbackHub, run: Run, tmp_path: Path, instruction: LearnedInstruction, tiny_backbone: Path
) -> None:
    instruction.save_pretrained(tmp_path / "pencil")
    assert run("push", tmp_path / "pencil", REPO, "--branch", "bolder").code == 0
    picture(48, 48, seed=1).save(tmp_path / "photo.png")
    drawing = ("--instruction", REPO, "--backbone", tiny_backbone, "--output", tmp_path / "drawn", "--steps", 1)
    assert "no revision 'nowhere'" in run("sketch", tmp_path / "photo.png", *drawing, "--revision", "nowhere").complaint
    assert not (tmp_path / "drawn/photo.png").exists()
    drawn = run("sketch", tmp_path / "photo.png", *drawing, "--revision", "bolder")
    assert drawn.code == 0, drawn.err
    assert (tmp_path / "drawn/photo.png").is_file()


def test_the_licence_is_asked_for_where_somebody_can_answer(
    hub: LoopbackHub, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def prompt(text: str, **options: object) -> str:
        asked.append(text)
        return "cc-by-4.0"

    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    run("push", folder, REPO)
    assert not asked, "the record says it"
    learned(record=InstructionRecord(backbone="mini")).save_pretrained(folder)
    run("push", folder, "someone/given", "--licence", "mit")
    assert not asked
    run("push", folder, "someone/asked")
    assert len(asked) == 1
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "states no licence" not in caplog.text
    run("push", folder, "someone/silent")
    assert len(asked) == 1
    assert "The card states no licence" in caplog.text
    stated = {name: repo.files()[CARD].data.decode().partition("license: ")[2].split("\n")[0] for name, repo in hub.repos.items()}
    assert stated == {REPO: "cc0-1.0", "someone/given": "mit", "someone/asked": "cc-by-4.0", "someone/silent": ""}


@pytest.mark.parametrize("token", ["", "hf_expired"])
def test_refusals_are_complaints(hub: LoopbackHub, run: Run, folder: Path, tmp_path: Path, token: str) -> None:
    assert "no folder; give the folder of a learned instruction" in run("push", tmp_path / "none", REPO).complaint
    (folder / WEIGHTS).unlink()
    assert f"holds no {WEIGHTS}" in run("push", folder, REPO).complaint
    assert not hub.asked
    learned().save_pretrained(folder)
    assert "the Hub does not accept the token" in run("push", folder, REPO, "--token", token or "hf_wrong").complaint
    assert not hub.repos


# ── hf ──


def test_hf_brings_down_what_we_pushed(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    LearnedInstruction.from_pretrained(folder).push_to_hub(REPO)
    program(hub, tmp_path / "home", "hf", "download", REPO, "--local-dir", tmp_path / "down")
    assert same(LearnedInstruction.from_pretrained(tmp_path / "down"), learned())
    for name in (WEIGHTS, CONFIG):
        assert content(tmp_path / "down")[name] == content(folder)[name]


def test_we_bring_down_what_hf_pushed(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    program(hub, tmp_path / "home", "hf", "upload", REPO, folder, ".", "--private")
    assert hub.repos[REPO].private
    assert same(LearnedInstruction.from_pretrained(REPO), learned())
    learned(seed=1).push_to_hub(REPO)
    assert same(LearnedInstruction.from_pretrained(REPO), learned(seed=1))
    assert hub.repos[REPO].refs["main"] in program(hub, tmp_path / "home", "hf", "models", "info", REPO)


def test_a_program_offline_with_the_cache_that_hf_filled(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    LearnedInstruction.from_pretrained(folder).push_to_hub(REPO)
    program(hub, tmp_path / "home", "hf", "download", REPO)
    hub.asked.clear()
    load = f"from oneshot_sketch import LearnedInstruction; LearnedInstruction.from_pretrained({REPO!r}).save_pretrained('copy')"
    program(hub, tmp_path / "home", "python", "-c", load.replace("copy", str(tmp_path / "copy")), HF_HUB_OFFLINE="1")
    assert not hub.asked
    assert same(LearnedInstruction.from_pretrained(tmp_path / "copy"), learned())
