"""Where numbers were made: libraries and device."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

LIBRARIES = ("torch", "diffusers", "transformers", "torchmetrics", "piq")


def environment() -> dict[str, str]:
    """Name → version or description."""
    import oneshot_sketch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, threads: {torch.get_num_threads()}"
    libraries = {name: version(name) for name in LIBRARIES}
    return {"oneshot-sketch": oneshot_sketch.__version__, **libraries, "Python": platform.python_version(), "device": device}


def made_with(environment: dict[str, str]) -> str:
    """One sentence on libraries and device."""
    return f"Made with {', '.join(f'{name} {value}' for name, value in environment.items())}."
