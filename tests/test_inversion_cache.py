"""Inversions kept on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.inversion_cache import InversionCache, weights_digest
from oneshot_sketch.models.inversion import InversionConfig

WS = torch.arange(12.0).view(3, 4)


def key(number: float = 0.0, networks: str = "net", config: InversionConfig | None = None) -> str:
    return InversionCache.key(torch.full((3, 8, 8), number), networks, config or InversionConfig())


def test_what_is_kept_is_found_by_another(tmp_path: Path) -> None:
    cache = InversionCache(tmp_path / "a" / "b")
    assert cache.get(key(), WS.shape) is None and not (tmp_path / "a").exists()
    cache.put(key(), WS)
    found = InversionCache(tmp_path / "a" / "b").get(key(), WS.shape)
    assert found is not None and torch.equal(found, WS)


def test_picture_networks_and_settings_are_told_apart() -> None:
    keys = {key(), key(0.01), key(networks="other"), key(config=InversionConfig(steps=7)), key(config=InversionConfig(lr=0.2))}
    assert len(keys) == 5
    assert key() == key()


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    cache = InversionCache(tmp_path)
    (tmp_path / f"{key()}.safetensors").write_bytes(content)
    assert cache.get(key(), WS.shape) is None
    assert not list(tmp_path.iterdir())


def test_ws_of_another_shape_or_not_finite_count_as_none(tmp_path: Path) -> None:
    cache = InversionCache(tmp_path)
    cache.put(key(), WS)
    assert cache.get(key(), (3, 5)) is None
    cache.put(key(), WS / 0)
    assert cache.get(key(), WS.shape) is None


def test_it_keeps_those_used_last(tmp_path: Path) -> None:
    cache = InversionCache(tmp_path, limit=2)
    for number in (1, 2):
        cache.put(key(number), WS)
        os.utime(tmp_path / f"{key(number)}.safetensors", (number, number))
    cache.get(key(1), WS.shape)
    cache.put(key(3), WS)
    assert cache.get(key(2), WS.shape) is None
    assert cache.get(key(1), WS.shape) is not None and cache.get(key(3), WS.shape) is not None


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; give a folder"):
        InversionCache(tmp_path / "file")
    with pytest.raises(InputError, match="at least 1"):
        InversionCache(tmp_path, limit=0)
    with pytest.raises(InputError, match="could not be written"):
        InversionCache(tmp_path / "file" / "below").put(key(), WS)


def test_a_digest_is_of_the_weights_not_of_their_precision() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).half()
    digest = weights_digest(network)
    assert weights_digest(network.float()) == digest
    network[0].weight.data[0, 0] += 1e-3
    assert weights_digest(network) != digest
