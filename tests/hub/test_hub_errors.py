"""Everything that keeps an instruction from coming or going is one sentence of its own."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub.conftest import point_at
from hub.loopback import STRANGER, Blob, LoopbackHub
from huggingface_hub import constants
from instructions import learned, same

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.learned_instruction import CONFIG, WEIGHTS

REPO = "someone/soft-pencil"


def refusal(attempt: Callable[[], object]) -> str:
    """The one sentence of an attempt that fails."""
    with pytest.raises(InputError) as caught:
        attempt()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and "://huggingface.co" not in message
    return message


def load(repo: str = REPO, **options: Any) -> str:
    return refusal(lambda: LearnedInstruction.from_pretrained(repo, **options))


def push(repo: str = REPO, **options: Any) -> str:
    return refusal(lambda: learned(seed=1).push_to_hub(repo, **options))


@pytest.fixture
def pushed(hub: LoopbackHub) -> LoopbackHub:
    learned().push_to_hub(REPO)
    return hub


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# ── coming ──


def test_missing(hub: LoopbackHub) -> None:
    assert load("nobody/nothing") == (
        "nobody/nothing is no folder here and does not exist on the Hub, or is private and not shown to you; check the name "
        "and the token."
    )


def test_private(pushed: LoopbackHub, tmp_path: Path) -> None:
    pushed.repos[REPO].private = True
    assert same(LearnedInstruction.from_pretrained(REPO), learned()), "to its owner"
    assert load(token=False, cache_dir=tmp_path / "fresh") == (
        f"{REPO} is no folder here and not public on the Hub; check the name, or, if it is private, `hf auth login` or "
        "give a token."
    )
    assert "is private and not shown to you" in load(token=STRANGER, cache_dir=tmp_path / "fresh")


@pytest.mark.parametrize("token", [False, STRANGER])
def test_gated(pushed: LoopbackHub, tmp_path: Path, token: Any) -> None:
    pushed.repos[REPO].gated = True
    assert load(token=token, cache_dir=tmp_path / "fresh") == (
        f"{REPO} is gated and its owner has not let you in; ask at {pushed.url}/{REPO}, then `hf auth login` or give a token."
    )


def test_a_token_that_is_none(pushed: LoopbackHub, tmp_path: Path) -> None:
    said = f"the Hub does not accept the token for {REPO}; `hf auth login` again or give another."
    assert load(token="hf_expired", cache_dir=tmp_path / "fresh") == said
    assert push(token="hf_expired") == said


@pytest.mark.parametrize("revision", ["v9", "0" * 40, "no/such/branch"])
def test_wrong_revision(pushed: LoopbackHub, tiny_pipe: OneShotSketchPipeline, revision: str) -> None:
    said = f"{REPO} has no revision {revision!r}; give a branch, a tag or a commit that it has."
    assert load(revision=revision) == said
    assert refusal(lambda: tiny_pipe.load_instruction(REPO, revision=revision)) == said
    assert not tiny_pipe.instructions


def test_another_kind_of_repository(hub: LoopbackHub) -> None:
    repo = hub.create("someone/bert")
    assert load("someone/bert") == (
        "someone/bert is on the Hub but holds no config.json, so it is not a learned instruction; check its name."
    )
    repo.commit("main", {CONFIG: Blob(b'{"model_type": "bert"}')}, "a model")
    assert "holds no instruction.safetensors" in load("someone/bert")
    repo.commit("main", {CONFIG: Blob(b'{"model_type": "bert"}'), WEIGHTS: Blob(b"", lfs=True)}, "a strange one")
    assert load("someone/bert") == "config.json of someone/bert does not describe a learned instruction; check the name."


@pytest.mark.parametrize(("name", "limit"), [(CONFIG, 1), (WEIGHTS, 64)])
def test_too_large_is_not_even_fetched(pushed: LoopbackHub, name: str, limit: int, tmp_path: Path) -> None:
    repo = pushed.repos[REPO]
    repo.commit("main", {**repo.files(), name: Blob(bytes(limit * 2**20 + 1), lfs=name == WEIGHTS)}, "huge")
    pushed.asked.clear()
    assert load(cache_dir=tmp_path / "fresh") == (
        f"{name} of {REPO} is larger than {limit} MiB, so it is not a learned instruction's."
    )
    gets = [request for request in pushed.asked if "GET" in request]
    assert gets == ([] if name == CONFIG else [f"GET /{REPO}/resolve/main/{CONFIG}"])


def test_damaged_on_the_way(pushed: LoopbackHub) -> None:
    repo = pushed.repos[REPO]
    repo.commit("main", {**repo.files(), WEIGHTS: Blob(repo.files()[WEIGHTS].data[:-1], lfs=True)}, "half")
    assert f"{WEIGHTS} of {REPO} is damaged or not an instruction" in load()


def test_no_network(hub: LoopbackHub, nowhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    point_at(monkeypatch, nowhere, tmp_path / "fresh")
    said = load()
    assert said.startswith(f"{REPO} is not in the cache and {nowhere} cannot be reached (") and "Connection refused" in said
    assert push().startswith(f"{nowhere} cannot be reached (")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "the token in use gives no right to do this"),
        (429, "asks for a pause"),
        (500, "the Hub is out of order (it answered 500"),
        (503, "the Hub is out of order (it answered 503"),
        (418, "the Hub refused"),
    ],
)
def test_a_hub_in_trouble(pushed: LoopbackHub, tmp_path: Path, status: int, said: str) -> None:
    pushed.broken = status
    assert said in load(cache_dir=tmp_path / "fresh")
    assert said in push()


def test_a_page_that_is_no_hub(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy's login page, say."""
    monkeypatch.setattr("hub.loopback._Handler.handle_any", lambda self: self.answer(200, b"log in"))
    for verb in ("HEAD", "GET", "POST"):
        monkeypatch.setattr(f"hub.loopback._Handler.do_{verb}", lambda self: self.answer(200, b"log in"))
    said = f"{hub.url} does not answer as a Hub does; check HF_ENDPOINT, and whether the network asks you to log in."
    assert load() == push() == said


@pytest.mark.parametrize("name", ["/no/such/folder", "a b", "x" * 5000, "../up", "nul\0byte", "a/b/c", ""])
def test_what_can_be_no_repository_is_not_asked_for(hub: LoopbackHub, name: str) -> None:
    if name:
        load(name)
    push(name)
    assert not hub.asked


def test_a_full_disk(pushed: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download._download_to_tmp_and_move", full)
    said = "could not be cached (No space left on device); free some space or choose another cache_dir."
    assert load(cache_dir=tmp_path / "fresh") == f"{REPO} {said}"


# ── offline ──


def offline_by_argument(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"local_files_only": True}


def offline_by_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return {}


@pytest.mark.parametrize("switch", [offline_by_argument, offline_by_environment])
def test_offline_the_cache_is_enough(
    pushed: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switch: Callable[..., dict[str, Any]]
) -> None:
    learned(seed=1).push_to_hub(REPO, branch="bolder")
    for revision in (None, "bolder"):
        LearnedInstruction.from_pretrained(REPO, revision=revision)
    learned(seed=2).push_to_hub(REPO)
    options = switch(monkeypatch)
    pushed.asked.clear()
    assert same(LearnedInstruction.from_pretrained(REPO, **options), learned()), "what main was when it was last seen"
    assert same(LearnedInstruction.from_pretrained(REPO, revision="bolder", **options), learned(seed=1))
    commit = pushed.repos[REPO].refs["bolder"]
    assert same(LearnedInstruction.from_pretrained(REPO, revision=commit, **options), learned(seed=1))
    end = "is no folder here and not in the cache, and offline mode is on; load it once with a network."
    assert load(cache_dir=tmp_path / "fresh", **options) == f"{REPO} {end}"
    assert load(revision="v9", **options) == f"{REPO} at 'v9' {end}"
    assert not pushed.asked


def test_offline_nothing_is_pushed(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert push() == f"offline mode is on, so {REPO} cannot be reached; unset HF_HUB_OFFLINE."


def test_a_hub_that_is_gone_leaves_the_cache(
    pushed: LoopbackHub, nowhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    LearnedInstruction.from_pretrained(REPO)
    point_at(monkeypatch, nowhere, tmp_path / "cache")
    assert same(LearnedInstruction.from_pretrained(REPO), learned())


# ── going ──


def test_nobody_is_logged_in(pushed: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(pushed.repos[REPO].refs)
    said = f"the Hub must know who you are to let you do this with {REPO}; `hf auth login` or give a token."
    assert push(token=False) == said
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
    assert push() == push(token=True) == said
    assert "the token in use gives no right" in push(token=STRANGER)
    assert pushed.repos[REPO].refs == before
    assert "the token in use gives no right to do this with someone/new" in push("someone/new", token=STRANGER)
    assert "someone/new" not in pushed.repos


def test_private_is_not_promised_where_all_can_read(pushed: LoopbackHub) -> None:
    before = dict(pushed.repos[REPO].refs)
    assert f"{REPO} exists and is public" in push(private=True, branch="secret")
    assert pushed.repos[REPO].refs == before
    learned().push_to_hub("someone/diary", private=True)
    assert pushed.repos["someone/diary"].private
    learned(seed=1).push_to_hub("someone/diary", private=True)


def test_another_models_repository_is_not_spoilt(hub: LoopbackHub) -> None:
    repo = hub.create("someone/bert")
    repo.commit("main", {CONFIG: Blob(b'{"model_type": "bert"}')}, "a model")
    assert push("someone/bert") == ("someone/bert holds another model, which a push would spoil; choose another repository.")
    assert repo.files().keys() == {CONFIG}


def test_somebody_else_commits_in_between(pushed: LoopbackHub) -> None:
    repo = pushed.repos[REPO]
    pushed.before_commit = lambda: repo.edit("README.md", "## Use", "## How to use")
    assert push() == f"{REPO} changed on the Hub in the meantime, and nothing was pushed; push again."
    pushed.before_commit = lambda: None
    learned(seed=1).push_to_hub(REPO)
    assert b"## How to use" in repo.files()["README.md"].data


def test_a_header_the_hub_refuses(pushed: LoopbackHub) -> None:
    pushed.repos[REPO].edit("README.md", "license: cc0-1.0", "license: nonsense")
    said = push()
    assert said.startswith(f"the Hub does not take the card of {REPO} (") and '"license" must not be nonsense' in said


def test_two_names_for_a_branch(hub: LoopbackHub) -> None:
    assert "two names for one thing" in push(branch="a", revision="b")
    assert "a pull request goes to the main branch" in push(branch="a", create_pr=True)
    assert not hub.asked
