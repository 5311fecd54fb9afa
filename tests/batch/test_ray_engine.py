"""A real local cluster: the same sketches, and a killed actor's work done by another."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch.conftest import Photos, files

from oneshot_sketch import InputError
from oneshot_sketch.batch import DrawingSettings, Summary, read_manifest, sketch_photos

SLOWER = DrawingSettings(num_inference_steps=8)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()


def actors() -> list[int]:
    """The processes that hold networks now."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if "MapWorker" in (place / "cmdline").read_text() and os.getpid() != int(place.name):
                found.append(int(place.name))
        except OSError:  # it ended meanwhile
            continue
    return found


@pytest.mark.slow
def test_a_killed_actor_loses_nothing_and_draws_nothing_twice(
    cluster: None, photos: Photos, pencil: Path, tmp_path: Path
) -> None:
    folder, out = photos(60, bad=3), tmp_path / "out"
    killed: list[dict[str, int]] = []

    def kill() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if len(sketches := list(out.glob("*.png"))) >= 10:
                killed.append({path.name: path.stat().st_mtime_ns for path in sketches})
                os.kill(actors()[0], signal.SIGKILL)
                return
            time.sleep(0.005)

    assassin = threading.Thread(target=kill)
    assassin.start()
    summary = sketch_photos(folder, pencil, out, settings=SLOWER, engine="ray", workers=2)
    assassin.join()
    assert killed, "it was over before anybody was killed"
    assert 10 <= len(killed[0]) < 60
    assert summary.photos == 63
    assert (summary.drawn + summary.kept, summary.failed) == (60, 3)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert len(after) == 60
    assert killed[0].items() <= after.items(), "nothing was drawn twice"
    assert len(list(read_manifest(out))) == 63
    assert sketch_photos(folder, pencil, out, settings=SLOWER) == Summary(kept=60, failed=3, first_error=summary_error(out))
    sketch_photos(folder, pencil, tmp_path / "alone", settings=SLOWER)
    assert files(tmp_path / "alone") == files(out), "the engine changes no picture"


def summary_error(out: Path) -> str:
    return next(str(row.error) for row in read_manifest(out) if row.error)


def test_more_workers_than_there_are_is_refused(
    photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(InputError, match="2 CPUs for 3 workers"):
        sketch_photos(photos(1), pencil, tmp_path / "out", engine="ray", workers=3)


def test_without_ray_it_says_how_to_get_it(photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oneshot_sketch.batch.ray_engine.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'oneshot-sketch\[ray\]'"):
        sketch_photos(photos(1), pencil, tmp_path / "out", engine="ray")


def test_a_cluster_out_of_reach_is_one_sentence(
    photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**_: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster at 127.0.0.1:1\nmore")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match=r"no Ray cluster to use \(Failed to connect .*:1\); check RAY_ADDRESS"):
        sketch_photos(photos(1), pencil, tmp_path / "out", engine="ray")
