"""A sitter: the few numbers that one portrait is rendered from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from canvas import Colour
from hair import Strands


@dataclass(frozen=True)
class Person:
    """One invented sitter. Colours are sRGB; factors are 1 for an average adult."""

    seed: int
    skin: Colour
    lips: Colour
    iris: Colour
    brow: Colour
    cloth: Colour
    ground: tuple[Colour, Colour]
    hair: Callable[[np.random.Generator], list[Strands]]
    width: float = 1.0
    jaw: float = 0.0
    nose: float = 1.0
    lip: float = 1.0
    age: float = 0.15
    smile: float = 0.5
    eye: float = 1.0
    tilt: float = 0.5
    brows: float = 1.0
    lashes: float = 0.5
    stubble: float = 0.0
    freckles: float = 0.0
    neck: float = 1.0
    collar: bool = False
    glasses: bool = False
    yaw: float = 0.0
    roll: float = 0.0
    light: float = 1.0
