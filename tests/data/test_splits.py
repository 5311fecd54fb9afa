from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from on_disk import put_pair

from oneshot_sketch import InputError
from oneshot_sketch.data import load_pairs, split_by_hash


def test_people_keep_their_side_when_others_come(tmp_path: Path) -> None:
    for seed in range(24):
        put_pair(tmp_path, seed, f"face {seed}")
    few = split_by_hash(load_pairs("folder", tmp_path), 0.3)
    sides = dict(zip(few["identity"], few["split"], strict=True))
    assert set(sides.values()) == {"train", "test"}
    for seed in range(24, 40):
        put_pair(tmp_path, seed, f"face {seed}")
    many = split_by_hash(load_pairs("folder", tmp_path), 0.3)
    assert sides.items() <= dict(zip(many["identity"], many["split"], strict=True)).items()
    assert [row["split"] for row in many] == [
        "test" if int(hashlib.sha256(row["identity"].encode()).hexdigest()[:16], 16) / 2**64 < 0.3 else "train" for row in many
    ]
    assert many[0]["photo"].size == load_pairs("folder", tmp_path)[0]["photo"].size


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_leaves_a_side_empty_is_refused(tmp_path: Path, share: float) -> None:
    put_pair(tmp_path, 0, "face")
    with pytest.raises(InputError, match="share of test pairs"):
        split_by_hash(load_pairs("folder", tmp_path), share)
