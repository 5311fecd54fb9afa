"""The real client of the Hub, at a Hub of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import run
from hub.loopback import OWNER, LoopbackHub
from huggingface_hub import constants
from huggingface_hub.utils import close_session

__all__ = ["hub", "run"]  # run: a fixture of the command's own tests


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub with no repository; the client in this process asks it, as its user `someone`, and caches in `tmp_path`."""
    hub = LoopbackHub()
    point_at(monkeypatch, hub.url, tmp_path / "cache")
    monkeypatch.setenv("HF_TOKEN", OWNER)
    close_session()
    yield hub
    close_session()
    hub.close()


def point_at(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


def program(hub: LoopbackHub, home: Path, name: str, *arguments: object, **environment: str) -> str:
    """What `hf` or `python` says in a process of its own, pointed at the Hub as people point it."""
    ours = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": OWNER, "HF_HUB_DISABLE_XET": "1"}
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, *({"hf": ("-m", "huggingface_hub.cli.hf"), "python": ()}[name]), *map(str, arguments)],
        env={**os.environ, **ours, **quiet, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
