"""Inversions kept on disk, found again by the content of the picture and of the networks."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from oneshot_sketch.atomic import replacing
from oneshot_sketch.errors import InputError
from oneshot_sketch.models.inversion import InversionConfig


def weights_digest(network: nn.Module) -> str:
    """Sixteen hex digits of SHA-256 over a network's class and its state as float32, so whatever precision it is kept in."""
    digest = hashlib.sha256(type(network).__qualname__.encode())
    for name, value in sorted(network.state_dict().items()):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class InversionCache:
    """Files of a few kilobytes, one a picture, in one folder; several processes may share it.

    Args:
        folder: made if it is not there.
        limit: inversions kept; past it those go that were not used for longest.

    Raises:
        InputError: a folder that is a file, or no room for at least one.
    """

    def __init__(self, folder: str | Path, limit: int = 4096) -> None:
        self.folder, self.limit = Path(folder), limit
        if limit < 1:
            raise InputError(f"the cache of inversions keeps {limit}; let it keep at least 1, or leave cache_dir out.")
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"cache_dir {folder} is a file; give a folder.")

    @staticmethod
    def key(picture: Tensor, networks: str, config: InversionConfig) -> str:
        """Of a picture (3, H, W) float32, digests of all that inverts it, and the settings."""
        digest = hashlib.sha256(json.dumps([networks, asdict(config), list(picture.shape)], sort_keys=True).encode())
        digest.update(picture.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def get(self, key: str, shape: torch.Size | tuple[int, ...]) -> Tensor | None:
        """ws of that shape, float32, or None. A damaged file counts as none and is removed."""
        path = self._path(key)
        try:
            ws = load(path.read_bytes())["ws"]
            if ws.shape != tuple(shape) or ws.dtype != torch.float32 or not ws.isfinite().all():
                raise ValueError
            os.utime(path)
            return ws
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError):
            with suppress(OSError):
                path.unlink()
            return None

    def put(self, key: str, ws: Tensor) -> None:
        """
        Raises:
            InputError: the folder cannot be written.
        """
        with replacing(self._path(key)) as part:
            part.write_bytes(save({"ws": ws.detach().float().cpu().contiguous()}))
        kept = {}
        for path in self.folder.glob("*.safetensors"):
            with suppress(OSError):  # another process may remove it at this moment
                kept[path] = path.stat().st_mtime_ns
        for path in sorted(kept, key=lambda path: (kept[path], path))[: max(0, len(kept) - self.limit)]:
            with suppress(OSError):
                path.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"
