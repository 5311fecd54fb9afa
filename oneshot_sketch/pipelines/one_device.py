"""A call that asks once which device it runs on; upstream looks through every module for it each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def on_one_device(
    call: Callable[Concatenate[Any, _Arguments], _Result],
) -> Callable[Concatenate[Any, _Arguments], _Result]:
    """A method of an `OnOneDevice` during which `_execution_device` is what it was when it began."""

    @wraps(call)
    def settled(pipe: Any, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        pipe.__dict__["_place"] = pipe._execution_device
        try:
            return call(pipe, *args, **kwargs)
        finally:
            pipe.__dict__.pop("_place", None)

    return settled


class OnOneDevice:
    """The part of a pipeline that remembers its device while it is called."""

    @property
    def _execution_device(self) -> torch.device:
        return self.__dict__.get("_place") or super()._execution_device  # type: ignore[misc]
