"""What the settings of every learner must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from oneshot_sketch.errors import InputError


def check_settings(config: Any, positive: Sequence[str], not_negative: Sequence[str] = (), shares: Sequence[str] = ()) -> None:
    """Refuse a setting out of its range, by its name; a `Literal` that is none of its choices; a seed that is no 32-bit number.

    Args:
        config: a dataclass with a `seed`.
        positive: finite and above 0.
        not_negative: finite and 0 or above.
        shares: from 0 to 1.

    Raises:
        InputError: the first that is wrong.
    """
    for name in positive:
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"{name} is {getattr(config, name)}; it must be above 0.")
    for name in (*not_negative, "seed"):
        if not 0 <= getattr(config, name) < math.inf:
            raise InputError(f"{name} is {getattr(config, name)}; it must be a number and not negative.")
    for name in shares:
        if not 0 <= getattr(config, name) <= 1:
            raise InputError(f"{name} is {getattr(config, name)}; it must be from 0 to 1.")
    for name, kind in get_type_hints(type(config)).items():
        if get_origin(kind) is Literal and getattr(config, name) not in get_args(kind):
            choices = ", ".join(map(str, get_args(kind)))
            raise InputError(f"{name} is {getattr(config, name)!r}; choose one of {choices}.")
    if config.seed >= 2**32:
        raise InputError(f"seed is {config.seed}; it must be below 2**32.")
