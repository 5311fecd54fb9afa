"""Pushed and pulled: the same bytes, and the same picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import picture, random_instruction, sketches
from hub.loopback import LoopbackHub
from huggingface_hub import ModelHubMixin
from instructions import content, learned, same
from PIL import Image
from test_adapters import some_companion

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.learned_instruction import COMPANION, CONFIG, MAX_BYTES, WEIGHTS
from oneshot_sketch.model_card import CARD, PREVIEW, SKETCHES

REPO = "someone/soft-pencil"


def test_every_byte_and_the_identical_image(
    hub: LoopbackHub, tmp_path: Path, tiny_pipe: OneShotSketchPipeline, photo: Image.Image
) -> None:
    instruction = random_instruction(seed=5)
    instruction.save_pretrained(tmp_path / "soft-pencil")
    instruction.push_to_hub(REPO)
    pulled = LearnedInstruction.from_pretrained(REPO)
    assert same(pulled, instruction)
    pulled.save_pretrained(tmp_path / "pulled")
    for name in (WEIGHTS, CONFIG):
        uploaded = hub.repos[REPO].files()[name].data
        assert uploaded == (tmp_path / "soft-pencil" / name).read_bytes() == (tmp_path / "pulled" / name).read_bytes()

    drawn = []
    for source in (tmp_path / "soft-pencil", REPO, instruction, pulled):
        tiny_pipe.load_instruction(source)
        assert list(tiny_pipe.instructions) == ["default" if isinstance(source, LearnedInstruction) else "soft-pencil"]
        drawn.append(sketches(tiny_pipe, image=photo))
        tiny_pipe.unload_instruction()
    assert all(np.array_equal(one, drawn[0]) for one in drawn)


def test_a_companion_travels_with_its_instruction(
    hub: LoopbackHub, tiny_pipe: OneShotSketchPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = random_instruction(seed=5)
    companion = some_companion(tiny_pipe.unet)
    whole = LearnedInstruction(plain.embeddings, plain.neutral, plain.rows, plain.record, companion)
    whole.push_to_hub(REPO)
    pulled = LearnedInstruction.from_pretrained(REPO).companion
    assert pulled is not None
    assert pulled.to_bytes() == companion.to_bytes()
    monkeypatch.setitem(MAX_BYTES, COMPANION, 1)
    with pytest.raises(InputError, match=r"companion\.safetensors"):
        LearnedInstruction.from_pretrained(REPO, force_download=True)
    plain.push_to_hub(REPO)
    assert LearnedInstruction.from_pretrained(REPO).companion is None


def test_it_is_what_users_of_the_mix_in_expect(hub: LoopbackHub, tmp_path: Path) -> None:
    assert issubclass(LearnedInstruction, ModelHubMixin)
    commit = learned().save_pretrained(tmp_path / "soft-pencil", push_to_hub=True, commit_message="From save_pretrained")
    assert commit is not None and commit.repo_url.repo_id == REPO, "the folder's name, in the user's own space"
    assert hub.repos[REPO].messages[-1] == "From save_pretrained"
    assert learned().save_pretrained(tmp_path / "soft-pencil") is None
    assert learned().push_to_hub("soft-pencil").oid == commit.oid, "nothing changed, so there is nothing to commit"


def test_weights_go_to_the_large_file_store_and_the_rest_into_git(hub: LoopbackHub) -> None:
    instruction = learned()
    instruction.preview, instruction.sketches = picture(), picture(seed=1)
    instruction.push_to_hub(REPO)
    files = hub.repos[REPO].files()
    assert {name: blob.lfs for name, blob in files.items()} == {
        ".gitattributes": False,
        CARD: False,
        CONFIG: False,
        PREVIEW: True,
        SKETCHES: True,
        WEIGHTS: True,
    }
    assert sum(request.startswith("POST") and "/commit/" in request for request in hub.asked) == 1, "all in one commit"
    assert f"]({PREVIEW})" in files[CARD].data.decode() and f"]({SKETCHES})" in files[CARD].data.decode()


def test_what_is_cached_is_not_fetched_again(hub: LoopbackHub) -> None:
    learned().push_to_hub(REPO)
    LearnedInstruction.from_pretrained(REPO)
    hub.asked.clear()
    assert same(LearnedInstruction.from_pretrained(REPO), learned())
    assert hub.asked and all(request.startswith("HEAD") for request in hub.asked), "its ETag is what it was"
    learned(seed=1).push_to_hub(REPO)
    hub.asked.clear()
    assert same(LearnedInstruction.from_pretrained(REPO), learned(seed=1)), "and now it is not"
    assert [request for request in hub.asked if "GET" in request] == [f"CDN GET /{hub.repos[REPO].files()[WEIGHTS].oid}"], (
        "config.json is the same bytes, and cached"
    )
    hub.asked.clear()
    LearnedInstruction.from_pretrained(REPO, force_download=True)
    assert sum("GET" in request for request in hub.asked) == 2


def test_config_and_weights_are_of_one_commit(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody pushes between the two downloads."""
    learned().push_to_hub(REPO)
    before = hub.repos[REPO].refs["main"]
    from oneshot_sketch import hub as ours

    fetch = ours.hf_hub_download

    def overtaken(repo: str, name: str, **options: object) -> object:
        found = fetch(repo, name, **options)  # type: ignore[arg-type]
        if name == CONFIG and "dry_run" not in options and hub.repos[REPO].refs["main"] == before:
            learned(seed=1).push_to_hub(REPO)
        return found

    monkeypatch.setattr(ours, "hf_hub_download", overtaken)
    assert same(LearnedInstruction.from_pretrained(REPO), learned())
    assert same(LearnedInstruction.from_pretrained(REPO), learned(seed=1))


# ── branches, commits, pull requests ──


@pytest.mark.parametrize("keyword", ["branch", "revision"])
def test_a_branch_is_made_and_leaves_main_alone(
    hub: LoopbackHub, keyword: str, tiny_pipe: OneShotSketchPipeline, photo: Image.Image
) -> None:
    first, second = random_instruction(seed=1), random_instruction(seed=2)
    commit = first.push_to_hub(REPO)
    second.push_to_hub(REPO, **{keyword: "bolder/lines"})
    third = first.strength(2)
    third.push_to_hub(REPO, **{keyword: "bolder/lines"})
    for revision, wanted in ((None, first), ("main", first), ("bolder/lines", third), (commit.oid, first)):
        assert same(LearnedInstruction.from_pretrained(REPO, revision=revision), wanted)
        drawn = sketches(tiny_pipe.load_instruction(REPO, revision=revision), image=photo)
        assert np.array_equal(drawn, sketches(tiny_pipe.load_instruction(wanted), image=photo))


def test_a_pull_request_waits_beside_main(hub: LoopbackHub) -> None:
    learned().push_to_hub(REPO)
    request = learned(seed=1).push_to_hub(REPO, create_pr=True, commit_message="Bolder")
    assert request.pr_revision == "refs/pr/1"
    assert same(LearnedInstruction.from_pretrained(REPO), learned())
    assert same(LearnedInstruction.from_pretrained(REPO, revision="refs/pr/1"), learned(seed=1))
    assert hub.repos[REPO].messages[-1] == "Bolder"
    learned(seed=2).push_to_hub(REPO, branch="refs/pr/1")
    assert same(LearnedInstruction.from_pretrained(REPO, revision="refs/pr/1"), learned(seed=2))


def test_a_pull_request_to_somebody_else(hub: LoopbackHub) -> None:
    theirs = hub.create("artist/hand")
    learned().push_to_hub("artist/hand", create_pr=True)
    assert WEIGHTS in theirs.files("refs/pr/1") and WEIGHTS not in theirs.files()


# ── the card ──


def card(hub: LoopbackHub) -> str:
    return hub.repos[REPO].files()[CARD].data.decode()


def test_a_card_edited_on_the_hub_survives(hub: LoopbackHub) -> None:
    learned().push_to_hub(REPO)
    hub.repos[REPO].edit(CARD, "## How it was learned", "Ada drew this in one afternoon.\n\n## How it was learned")
    hub.repos[REPO].edit(CARD, "pipeline_tag:", "language: fr\npipeline_tag:")
    for seed in (1, 2):
        learned(seed=seed).push_to_hub(REPO)
        assert "Ada drew this in one afternoon." in card(hub)
        assert "language: fr" in card(hub)
        assert same(LearnedInstruction.from_pretrained(REPO), learned(seed=seed)), "the rest is pushed"


def test_a_card_that_nobody_touched_is_renewed(hub: LoopbackHub) -> None:
    learned().push_to_hub(REPO)
    assert PREVIEW not in card(hub)
    instruction = learned(seed=1)
    instruction.preview = picture()
    instruction.push_to_hub(REPO)
    assert f"]({PREVIEW})" in card(hub)


def test_a_card_edited_at_home_goes_up_until_it_is_edited_there(
    hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learned().save_pretrained(tmp_path / "soft-pencil")
    path = tmp_path / "soft-pencil" / CARD
    for line in ("Mine, first.", "Mine, second."):
        path.write_text(f"---\nlanguage: fr\n---\n{line}\n")
        LearnedInstruction.from_pretrained(tmp_path / "soft-pencil").push_to_hub(REPO)
        assert line in card(hub) and "language: fr" in card(hub) and "library_name: oneshot-sketch" in card(hub)
    assert "edited on the Hub" not in caplog.text
    hub.repos[REPO].edit(CARD, "Mine, second.", "Mine, and edited there.")
    path.write_text("Mine, third.\n")
    LearnedInstruction.from_pretrained(tmp_path / "soft-pencil").push_to_hub(REPO)
    assert "Mine, and edited there." in card(hub) and "Mine, third." not in card(hub)
    assert "The card of someone/soft-pencil was edited on the Hub and is kept; yours is not pushed." in caplog.text


def test_files_of_other_names_stay(hub: LoopbackHub) -> None:
    learned().push_to_hub(REPO)
    hub.repos[REPO].edit(".gitattributes", "*", "# by hand\n*")
    learned(seed=1).push_to_hub(REPO)
    assert b"# by hand" in hub.repos[REPO].files()[".gitattributes"].data


def test_the_licence_is_asked_for_and_never_guessed(hub: LoopbackHub, caplog: pytest.LogCaptureFixture) -> None:
    instruction = random_instruction()
    instruction.push_to_hub(REPO)
    assert "license" not in card(hub)
    assert "states no licence" in caplog.text
    caplog.clear()
    instruction.push_to_hub(REPO, licence="By leave of the artist")
    assert "license: other\nlicense_name: by-leave-of-the-artist" in card(hub)
    instruction.push_to_hub(REPO)
    assert "license_name: by-leave-of-the-artist" in card(hub), "once said"
    instruction.push_to_hub(REPO, licence="CC BY 4.0")
    assert "license: cc-by-4.0" in card(hub) and "license_name" not in card(hub)
    assert "licence" not in caplog.text


def test_a_local_backbone_is_told_about(hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    instruction = learned()
    instruction.push_to_hub(REPO)
    assert "others do not have" in caplog.text and "base_model" not in card(hub)


def test_the_pushed_folder_is_the_saved_one_but_for_the_name(hub: LoopbackHub, tmp_path: Path) -> None:
    learned().save_pretrained(tmp_path / "soft-pencil")
    learned().push_to_hub(REPO)
    pushed = {name: blob.data for name, blob in hub.repos[REPO].files().items()}
    saved = content(tmp_path / "soft-pencil")
    assert pushed.keys() - saved.keys() == {".gitattributes"}
    assert f'pipe.load_instruction("{REPO}")' in pushed.pop(CARD).decode()
    assert 'pipe.load_instruction("soft-pencil")' in saved.pop(CARD).decode()
    assert pushed.items() >= saved.items()
