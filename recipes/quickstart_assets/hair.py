"""Hair: strands as polylines, how they grow, how they lie as a mass, and how each is shaded and drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from canvas import SIZE, Colour, Image, Knots, Points, blur, display, linear, ramp, to_pixels, to_sixteenths
from light import FILL, KEY, RIM, halfway, normals, sky_light, unit_vector

COMBED = 30  # points of a long hair


@dataclass(frozen=True)
class Strands:
    """Hair as polylines (N, n, 2), drawn in their order; `gloss` scales the highlights, `body` the mass's thickness."""

    lines: Points
    colour: Colour
    gloss: float = 1.0
    body: float = 0.16
    width: int = 1
    back: bool = False  # behind head and body
    grey: float = 0.0  # share of white hairs


# --- how it grows -----------------------------------------------------------------------------------------------------


def fur(
    rng: np.random.Generator, roots: Points, heading: Image, length: Image, bend: float, n: int = 10, coil: float = 0.0
) -> Points:
    """Short hairs (N, n, 2) from `roots`, each with its own heading (radians) and bend; `coil` curls them."""
    count = len(roots)
    t = np.linspace(0, 1, n, dtype=np.float32)
    turn = heading[:, None] + bend * rng.standard_normal((count, 1)) * t
    step = np.stack([np.cos(turn), np.sin(turn)], -1) * (length[:, None, None] / (n - 1))
    lines = roots[:, None] + np.cumsum(step, 1) - step[:, :1]
    if coil:
        phase = rng.uniform(0, 2 * np.pi, (count, 1)) + t * rng.uniform(7, 12, (count, 1)) * rng.choice([-1, 1], (count, 1))
        lines = lines + coil * np.stack([np.cos(phase), np.sin(phase)], -1)
    return lines.astype(np.float32)


def smooth_path(knots: Knots, n: int) -> Points:
    """Catmull–Rom spline through the knots as n points."""
    p = np.array([knots[0], *knots, knots[-1]], np.float32)
    at = np.linspace(0, len(knots) - 1.001, n)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def combed(rng: np.random.Generator, guides: list[Knots], count: int, clumps: int, loose: float, wave: float) -> Points:
    """Long hairs between neighbouring guides, gathered into locks towards their tips."""
    paths = np.stack([smooth_path(g, COMBED) for g in guides])
    u = rng.random(count)
    nth = np.floor(u * clumps).astype(int)
    lock = (nth + 0.2 + 0.6 * rng.random(clumps)[nth]) / clumps
    t = np.linspace(0, 1, COMBED)
    at = np.clip(u[:, None] + (lock - u)[:, None] * 0.75 * t**0.7, 0, 0.9999) * (len(guides) - 1)
    i, f = at.astype(int), (at % 1)[..., None]
    column = np.arange(COMBED)[None]
    lines = paths[i, column] * (1 - f) + paths[i + 1, column] * f
    drift = rng.standard_normal((count, 1, 2)) * loose * (0.25 + t[:, None] ** 1.5) + 0.004 * rng.standard_normal((count, 1, 2))
    swing = wave * np.sin(t * 9 + 12 * lock[:, None] + 0.5 * rng.standard_normal((count, 1)))[..., None] * t[:, None]
    lines = lines + drift + swing * np.array([1.0, 0.2])
    keep = rng.uniform(0.80, 1.0, count)[:, None] * (COMBED - 1) * t  # tips end unevenly
    j = np.minimum(keep.astype(int), COMBED - 2)
    f = (keep - j)[..., None]
    row = np.arange(count)[:, None]
    return (lines[row, j] * (1 - f) + lines[row, j + 1] * f).astype(np.float32)


# --- how it looks -----------------------------------------------------------------------------------------------------


def hair_mass(group: Strands) -> Image:
    """Height of the hair above what it lies on: rounded at the borders, uneven as the locks are."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.polylines(mask, list(to_sixteenths(group.lines)), False, 255, group.width, cv2.LINE_8, 4)
    full = blur(mask.astype(np.float32) / 255, 0.008)
    return group.body * np.sqrt(np.clip(0.6 * blur(full, 0.10) + 0.4 * blur(full, 0.04), 0, 1)) * ramp(full, 0.05, 0.6)


def paint_hair(rng: np.random.Generator, picture: Image, group: Strands, height: Image, shadow: Image, exposure: float) -> None:
    """Shade every segment (Kajiya & Kay 1989) and draw it into the 8-bit picture."""
    pixels = to_pixels(group.lines)
    middle = 0.5 * (pixels[:, 1:] + pixels[:, :-1])
    column, row = (np.clip(middle[..., k], 0, SIZE - 1).astype(int) for k in (0, 1))
    smooth = blur(height, 0.02)
    normal = normals(smooth)[row, column]
    seen = shadow[row, column]
    run = (pixels[:, 1:] - pixels[:, :-1]).astype(np.float32)
    climb = -(run * normal[..., :2]).sum(-1) / np.maximum(normal[..., 2], 0.3)
    tangent = np.concatenate([run, climb[..., None]], -1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
    light = strand_light(rng, group, tangent, normal, seen)
    colours = display(exposure * light)
    for line, shades in zip(to_sixteenths(group.lines), colours.tolist(), strict=True):
        points = list(map(tuple, line.tolist()))
        for start, end, colour in zip(points, points[1:], shades, strict=False):
            cv2.line(picture, start, end, colour, group.width, cv2.LINE_AA, 4)


def strand_light(rng: np.random.Generator, group: Strands, tangent: Image, normal: Image, seen: Image) -> Image:
    count = len(tangent)
    own = np.exp(0.28 * rng.standard_normal((count, 1, 1))) * np.exp(0.06 * rng.standard_normal((count, 1, 3)))
    colour = linear(group.colour) * own
    white = (rng.random((count, 1, 1)) < group.grey) * rng.uniform(0.25, 0.55, (count, 1, 1))
    colour = np.maximum(colour, white * np.array([1.0, 0.98, 0.95]))
    depth = 0.30 + 0.70 * np.linspace(0, 1, count)[:, None] ** 0.8  # the first strands lie deepest
    light = np.zeros((*tangent.shape[:2], 3), np.float32)
    for lamp in (KEY, FILL, RIM):
        way, half = unit_vector(lamp.direction), halfway(lamp.direction)
        facing = np.clip((normal @ way + 0.35) / 1.35, 0, 1) * (0.25 + 0.75 * seen if lamp is KEY else 1)
        across = np.sqrt(np.clip(1 - (tangent @ way) ** 2, 0, 1))
        slant = tangent + 0.10 * normal
        narrow = np.clip(1 - (slant @ half) ** 2, 0, 1) ** 45
        broad = np.clip(1 - ((tangent - 0.15 * normal) @ half) ** 2, 0, 1) ** 12
        glow = colour * (across + 1.0 * group.gloss * broad)[..., None] + 0.055 * group.gloss * narrow[..., None]
        light += (facing * depth)[..., None] * glow * np.float32(lamp.colour) * 1.25
    return light + colour * sky_light(0.5 - 0.5 * normal[..., 1:2]) * depth[..., None]
