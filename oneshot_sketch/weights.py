"""Reading weight files without unpickling anything but tensors."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """A state dict; floating-point tensors come in float32.

    Raises:
        InputError: a file that is missing or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path of the weights.") from None
    except (OSError, RuntimeError, UnpicklingError, EOFError, AttributeError) as error:
        raise InputError(f"{path} is not a file of tensors that PyTorch can read; download it again.") from error
