"""Real processes: killed and resumed, beside each other under torchrun, fed through a pipe."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch.conftest import Photos, files

from oneshot_sketch.batch import DrawingSettings, read_manifest, sketch_photos
from oneshot_sketch.cli.main import main

ONE_STEP, SIX_STEPS = DrawingSettings(num_inference_steps=1), DrawingSettings(num_inference_steps=6)
PROGRAM = "from oneshot_sketch.cli.main import main; main()"


def command(folder: object, pencil: Path, out: Path, *options: object) -> list[str]:
    return [
        sys.executable,
        "-c",
        PROGRAM,
        "sketch",
        str(folder),
        "--instruction",
        str(pencil),
        "--output",
        str(out),
        *map(str, options),
    ]


def run(arguments: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def kill_after(arguments: list[str], out: Path, sketches: int) -> None:
    """SIGKILL as soon as so many sketches are there."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while len(list(out.glob("*.png"))) < sketches:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every sketch; drawing one again would change both."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("*.png")}


def test_200_photos_with_5_bad_ones_killed_twice(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, out = photos(195, bad=5), tmp_path / "out"
    arguments = command(folder, pencil, out, "--steps", 6, "--batch-size", 4)
    there: dict[str, tuple[int, int]] = {}
    for sketches in (30, 90):
        kill_after(arguments, out, sketches)
        now = stamps(out)
        assert len(there) < len(now) < 195
        assert there.items() <= now.items(), "nothing was drawn twice"
        there = now
    done = run(arguments)
    assert done.returncode == 2
    assert f"195 of 200 photos sketched ({len(there)} of them before). Saved in {out}\n" in done.stdout
    assert "5 photos were not sketched; the first: " in done.stderr
    after = stamps(out)
    assert there.items() <= after.items(), "nothing was drawn twice"
    assert len(after) == 195
    rows = list(read_manifest(out))
    assert len(rows) == 200
    assert sorted(f"{row.name}.png" for row in rows if row.error is None) == sorted(after)
    assert [row.photo for row in rows if row.error] == [str(path) for path in sorted(folder.glob("*bad.jpg"))]
    resumed = files(out)
    again = sketch_photos(folder, pencil, out, settings=SIX_STEPS, batch_size=4)
    assert (again.drawn, again.kept, again.failed) == (0, 195, 5)
    assert stamps(out) == after
    unbroken = tmp_path / "unbroken"
    sketch_photos(folder, pencil, unbroken, settings=SIX_STEPS, batch_size=4)
    assert files(unbroken) == resumed, "the same bytes as a run that nobody killed"


@pytest.mark.usefixtures("one_thread")
def test_two_processes_share_the_work_and_one_speaks(photos: Photos, pencil: Path, tmp_path: Path) -> None:
    folder, out = photos(21, bad=3), tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", "--nproc_per_node", "2"]
    done = run([*torchrun, *command(folder, pencil, out, "--steps", 1)])
    assert done.stdout.count("photos sketched") == 1
    assert "21 of 24 photos sketched. Saved in" in done.stdout
    assert done.stderr.count("3 photos were not sketched; the first: ") == 1
    assert len(files(out)) == 21
    shares = [Path(f"{out}/manifest-0000{rank}.sqlite") for rank in (0, 1)]
    assert all(share.is_file() for share in shares)
    rows = list(read_manifest(out))
    assert (len(rows), sum(row.error is not None for row in rows)) == (24, 3)
    sketch_photos(folder, pencil, tmp_path / "alone", settings=ONE_STEP)
    assert files(tmp_path / "alone") == files(out), "the number of processes changes no picture"
    resumed = sketch_photos(folder, pencil, out, settings=ONE_STEP)
    assert (resumed.drawn, resumed.kept, resumed.failed) == (0, 21, 3), "one process goes on where two were"


def test_paths_come_through_standard_input(
    photos: Photos, pencil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = photos(3), tmp_path / "out"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(str(path) for path in sorted(folder.iterdir()))))
    monkeypatch.setattr(sys, "argv", ["oneshot-sketch", *command("-", pencil, out, "--steps", 1)[3:]])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code is None or left.value.code == 0
    assert capsys.readouterr().out == f"3 of 3 photos sketched. Saved in {out}\n"
    assert sorted(files(out)) == ["p0000", "p0001", "p0002"]
