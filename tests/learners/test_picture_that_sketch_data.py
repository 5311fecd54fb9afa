from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_picture_that_sketch import four, invented

from oneshot_sketch import InputError
from oneshot_sketch.learners.picture_that_sketch_data import KeptPairs, rows

pytestmark = pytest.mark.usefixtures("one_thread")


def test_kept_pairs_are_the_pairs_in_eight_bits(tmp_path: Path) -> None:
    parts = [invented(5), four()]
    KeptPairs.keep(parts, tmp_path / "kept.safetensors", batch=2, progress=False)
    kept = KeptPairs(tmp_path / "kept.safetensors")
    assert len(kept) == 9
    wanted = [part[i] for part in parts for i in range(len(part))]
    for index, (photo, sketch, ws) in enumerate(wanted):
        got = kept[index]
        assert (got[0] - photo.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6
        assert (got[1] - sketch).abs().max() <= 1 / 255 + 1e-6
        assert torch.allclose(got[2], ws, atol=1e-5), "a batch of two differs from one face alone by rounding"


def test_kept_twice_the_bytes_are_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        KeptPairs.keep([invented(3)], tmp_path / name, progress=False)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_pairs_without_latents_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no latents"):
        KeptPairs.keep([four(False)], tmp_path / "kept", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["nothing", "text", "names", "shapes", "counts"])
def test_another_file_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "kept"
    photo, sketch, ws = torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8), torch.zeros(2, 4, 16)
    if what == "text":
        path.write_text("photo")
    elif what == "names":
        save_file({"photo": photo, "sketch": sketch}, path)
    elif what == "shapes":
        save_file({"photo": photo, "sketch": sketch, "ws": ws[0]}, path)
    elif what == "counts":
        save_file({"photo": photo, "sketch": sketch, "ws": ws[:1]}, path)
    with pytest.raises(InputError, match="no kept pairs"):
        KeptPairs(path)


def test_every_row_once_before_any_twice() -> None:
    seen = [row for step in range(6) for row in rows(8, 4, step, 3)]
    assert sorted(seen[:8]) == sorted(seen[8:16]) == sorted(seen[16:]) == list(range(8))
    assert seen[:8] != seen[8:16]
