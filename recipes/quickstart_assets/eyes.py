"""Eyes: balls with iris, glint and wet rim, in the opening between the lids."""

from __future__ import annotations

import numpy as np
from canvas import PIXEL, Image, bump, linear, ramp
from head import eye_frame
from sitter import Person


def eyeballs(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    """Light from the eyeballs and their cover."""
    a = np.abs(x)
    t, upper, lower = eye_frame(p, a)
    soft = 1.2 * PIXEL
    cover = ramp(y, upper - soft, upper + soft) * (1 - ramp(y, lower - soft, lower + soft)) * (1 - ramp(np.abs(t), 0.97, 1.0))
    radius = 0.0615
    u, v = (a - 0.285) / radius, (y + 0.012) / radius
    r = np.hypot(u, v)
    veins = np.abs(t[..., None]) ** 3 * np.array([0.27, 0.50, 0.50], np.float32)
    white = np.array([0.66, 0.60, 0.56], np.float32) * np.exp(-veins)
    corner = bump(t, y, -0.95, 0.005, 0.10, 0.02)[..., None]
    white = white * (1 - corner) + corner * linear(p.skin) * np.array([0.95, 0.6, 0.55], np.float32)
    iris = iris_colour(p, u, v, r)
    light = white + (1 - ramp(r, 0.90, 1.06))[..., None] * (iris - white)
    shadow = 0.30 + 0.70 * ramp(y, upper - 0.005, upper + 0.060)
    light = light * (shadow * (1 - 0.22 * np.abs(t) ** 2))[..., None] * p.light
    side = np.sign(x)
    glint = 1.0 * bump(side * u, v, -0.34, -0.40, 0.14, 0.16) + 0.10 * bump(side * u, v, 0.42, 0.42, 0.22, 0.18)
    wet = 0.35 * np.exp(-(((y - lower + 0.006) / 0.004) ** 2)) * (1 - ramp(np.abs(t), 0.6, 0.95))
    return light + (np.minimum(1.5 * glint, 1.1) * (r < 1.3) + 0.25 * wet)[..., None], cover


def iris_colour(p: Person, u: Image, v: Image, r: Image) -> Image:
    angle = np.arctan2(v, u)
    rays = 1 + 0.22 * np.sin(17 * angle + 5 * np.sin(3 * angle)) * ramp(r, 0.3, 0.6) + 0.12 * np.sin(41 * angle)
    light = 0.75 + 0.75 * bump(u, v, 0.15, 0.5, 0.5, 0.35)  # light gathers opposite to the glint
    iris = linear(p.iris) * (rays * light * (1 - 0.75 * ramp(r, 0.72, 1.0)))[..., None]
    return iris * (0.03 + 0.97 * ramp(r, 0.40, 0.50))[..., None]


def lid_lines(p: Person, x: Image, y: Image) -> Image:
    """How much the lashes' roots darken the skin."""
    t, upper, lower = eye_frame(p, np.abs(x))
    thick = 0.009 + 0.007 * p.lashes * ramp(t, -1, 0.8)
    inside = 1 - ramp(np.abs(t), 0.98, 1.12)
    line = (0.62 + 0.3 * p.lashes) * np.exp(-(((y - upper) / thick) ** 2)) * inside
    return np.clip(line + (0.18 + 0.15 * p.lashes) * np.exp(-(((y - lower) / 0.007) ** 2)) * inside * ramp(t, -0.9, 0.6), 0, 0.97)
