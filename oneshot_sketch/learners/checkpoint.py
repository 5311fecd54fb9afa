"""The state of a run in one small folder: kilobytes, no pickles, exact to the bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from oneshot_sketch.atomic import replacing
from oneshot_sketch.errors import InputError

FILE = "state.safetensors"


def save_state(folder: Path, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
    """One file, so tensors and scalars can never be of different steps."""
    with replacing(folder / FILE) as part:
        part.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"scalars": json.dumps(scalars)}))


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save_state` wrote, or None where there is nothing.

    Raises:
        InputError: a damaged file.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return load(data), json.loads(header["__metadata__"]["scalars"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it to start again.") from None
