"""A pipeline on the device asked for."""

from __future__ import annotations

from functools import cached_property

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from oneshot_sketch.errors import InputError
from oneshot_sketch.pipelines.one_shot_sketch import OneShotSketchPipeline


class SettledPipeline(OneShotSketchPipeline):
    """One that stays on the device of its first call, and does not look for it again in every other."""

    @cached_property
    def _execution_device(self) -> torch.device:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.device


def load_backbone(
    name: str, device: str | None, kind: type[OneShotSketchPipeline] = OneShotSketchPipeline
) -> OneShotSketchPipeline:
    """One silent copy of the networks: bfloat16 on CUDA, float32 elsewhere.

    Args:
        device: default CUDA where there is one.
        kind: of pipeline.

    Raises:
        InputError: the backbone or the device is not usable.
    """
    place = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pipe = kind.from_pretrained(name, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(place)


def _usable(device: str) -> torch.device:
    try:
        place = torch.device(device)
        torch.zeros(1, device=place).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"the device {device!r} is not usable here ({reason}); choose another --device.") from None
    return place
