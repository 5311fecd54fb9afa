"""Synthetic portraits: people who do not exist, rendered from a few numbers each.

A head is a height field — an outline inflated like a balloon, with nose, sockets, lids, lips and folds as relief — lit by
a soft key light with cast shadows, ambient occlusion and light that bleeds through skin. Hair, beard, brows and lashes
are thousands of separately shaded strands. Rendered four times larger than wanted, then reduced with a trace of blur
and grain, as a camera would.

Lengths are in half heads: the eyes lie on y = 0, the chin on y = 1, the crown on y = −1; x to the right, y down and z
towards the camera. Colours are linear RGB in [0, 1] while they are light and 8-bit sRGB once they are picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

Image = np.ndarray
Points = np.ndarray  # (..., 2) of x, y
Colour = tuple[float, float, float]
Knots = list[tuple[float, float]]

SIZE = 1024  # pixels of the rendering
SPAN = 2.93  # half heads across the picture
EYES = 0.50  # height of the eyes in the picture
PIXEL = SPAN / SIZE

KEY, KEY_COLOUR = (-0.50, -0.56, 0.66), (1.28, 1.21, 1.12)
FILL, FILL_COLOUR = (0.75, -0.05, 0.66), (0.17, 0.18, 0.20)
RIM, RIM_COLOUR = (0.88, -0.42, 0.10), (0.20, 0.21, 0.23)
SKY, GROUND = (0.27, 0.28, 0.30), (0.215, 0.175, 0.15)


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


@dataclass
class Scene:
    """What the renderer builds up: height, colour, cover, gloss and translucence of skin and clothes."""

    height: Image
    albedo: Image
    cover: Image
    gloss: Image
    bleed: Image


# --- small tools ----------------------------------------------------------------------------------------------------


def grid() -> tuple[Image, Image]:
    steps = (np.arange(SIZE, dtype=np.float32) + 0.5) * PIXEL
    return np.meshgrid(steps - SPAN / 2, steps - EYES * SPAN)


def to_pixels(points: Points) -> Points:
    return np.stack([points[..., 0] + SPAN / 2, points[..., 1] + EYES * SPAN], -1) / PIXEL - 0.5


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur, `sigma` in half heads."""
    reach = sigma / PIXEL
    if reach < 6:
        return cv2.GaussianBlur(image, (0, 0), reach) if reach > 0.2 else image
    step = int(reach // 3)  # wide blurs are made on a reduced copy
    small = cv2.resize(image, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), reach / step), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def noise(rng: np.random.Generator, sigma: float) -> Image:
    """Gaussian noise of unit deviation, smooth over `sigma` half heads."""
    step = max(1, int(sigma / PIXEL // 3))
    size = SIZE // step + 1
    smooth = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), max(sigma / PIXEL / step, 0.3))
    return cv2.resize(smooth / smooth.std(), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def ramp(value: Image, low: float, high: float) -> Image:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def bump(x: Image, y: Image, cx: float, cy: float, sx: float, sy: float, turn: float = 0.0) -> Image:
    """A Gaussian hill of height 1."""
    c, s = np.cos(turn), np.sin(turn)
    u, v = (c * (x - cx) + s * (y - cy)) / sx, (c * (y - cy) - s * (x - cx)) / sy
    return np.exp(-0.5 * (u * u + v * v), dtype=np.float32)


def ball(x: Image, y: Image, cx: float, cy: float, rx: float, ry: float) -> Image:
    """A rounder, steeper hill than `bump`."""
    return np.exp(-((((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) ** 1.5), dtype=np.float32)


def curve(at: Image, knots: Knots, softness: float = 0.04) -> Image:
    """Piecewise linear function through (position, value) knots, rounded over `softness`."""
    where, value = np.array(knots, np.float32).T
    dense = np.arange(where[0] - 0.5, where[-1] + 0.5, 0.005)
    table = np.interp(dense, where, value).astype(np.float32)[None]
    table = cv2.GaussianBlur(table, (0, 0), sigmaX=softness / 0.005, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)[0]
    return np.interp(at, dense, table).astype(np.float32)


def polygon(points: Knots, softness: float) -> Image:
    """Filled polygon with a soft border."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(mask, [np.round(to_pixels(np.array(points)) * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    return blur(mask, softness)


def linear(colour: Colour | Image) -> Image:
    return (np.asarray(colour, np.float32) ** 2.2).astype(np.float32)


def display(light: Image) -> Image:
    """Linear light → 8-bit sRGB, with a soft shoulder for the highlights."""
    shown = np.where(light > 0.6, 0.6 + 0.4 * np.tanh((light - 0.6) / 0.4), light)
    return np.round(255 * np.clip(shown, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def unit_vector(vector: Colour) -> Image:
    return np.asarray(vector, np.float32) / np.linalg.norm(vector).astype(np.float32)


def normals(height: Image) -> Image:
    gx, gy = (cv2.Sobel(height, cv2.CV_32F, *d, ksize=3, scale=1 / (8 * PIXEL)) for d in ((1, 0), (0, 1)))
    normal = np.dstack([-gx, -gy, np.ones_like(gx)])
    return normal / np.sqrt((normal * normal).sum(2, keepdims=True))


# --- the head -------------------------------------------------------------------------------------------------------

OUTLINE = [  # half width of the face from the crown to the chin
    (-1.0, 0.0), (-0.965, 0.20), (-0.87, 0.39), (-0.72, 0.53), (-0.5, 0.63), (-0.25, 0.665), (0.0, 0.655),
    (0.2, 0.63), (0.4, 0.585), (0.58, 0.52), (0.74, 0.43), (0.87, 0.31), (0.96, 0.17), (1.0, 0.0),
]  # fmt: skip


def face_space(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    """Picture coordinates → the upright, frontal face's: undo the roll, and the parallax of a slight turn."""
    c, s = np.cos(p.roll), np.sin(p.roll)
    down = y - 0.9
    x, y = c * x + s * down, c * down - s * x + 0.9
    depth = np.sqrt(np.clip(1 - (x / 0.72) ** 2 - ((y - 0.05) / 1.1) ** 2, 0, 1))
    return x - p.yaw * depth, y


def head_radius(p: Person, x: Image, y: Image) -> Image:
    """0 on the face's axis, 1 on its outline."""
    rows, half = np.array(OUTLINE).T
    half = half * p.width * (1 + p.jaw * np.exp(-(((rows - 0.72) / 0.2) ** 2)))
    angle, radius = np.arctan2(half, rows), np.hypot(half, rows)
    dense = np.linspace(0, np.pi, 361)
    table = np.interp(dense, angle[::-1], radius[::-1])
    table = cv2.GaussianBlur(np.r_[table[180:0:-1], table, table[-2:180:-1]][None], (0, 0), sigmaX=7, sigmaY=0.1)[0][180:541]
    return np.hypot(x, y) / np.interp(np.arctan2(np.abs(x), y), dense, table).astype(np.float32)


def eye_frame(p: Person, a: Image, y: Image) -> tuple[Image, Image, Image]:
    """Along the eye, −1 at the inner and 1 at the outer corner; the lids' edges."""
    t = (a - 0.29) / 0.142
    inside = np.clip(1 - t * t, 0, 1)
    slant = -0.016 * p.tilt * t
    upper = slant - 0.068 * p.eye * inside**0.72 * (1 - 0.12 * t)
    lower = slant + 0.044 * p.eye * inside**0.85 * (1 + 0.18 * t)
    return t, upper, lower


def mouth_frame(p: Person, x: Image) -> tuple[Image, Image, Image, Image]:
    """Along the mouth, −1 to 1 between the corners; upper lip's top, the mouth's line and lower lip's bottom."""
    t = x / (0.225 + 0.03 * p.smile)
    inside = np.clip(1 - t * t, 0, 1)
    line = 0.615 + 0.016 * np.exp(-((t / 0.3) ** 2)) - 0.006 - 0.040 * p.smile * np.abs(t) ** 2.2
    bow = 1 - 0.22 * np.exp(-((t / 0.13) ** 2)) + 0.12 * np.exp(-(((np.abs(t) - 0.28) / 0.16) ** 2))
    top = line - 0.062 * p.lip * inside**0.9 * bow
    return t, top, line, line + 0.090 * p.lip * inside**0.75


def nose_relief(p: Person, x: Image, y: Image) -> Image:
    """Bridge, tip and wings, melted into each other."""
    a = np.abs(x) / p.nose
    profile = [(-0.30, 0.0), (-0.06, 0.035), (0.08, 0.080), (0.22, 0.130), (0.31, 0.150), (0.38, 0.07), (0.50, 0.0)]
    ridge = curve(y, profile, 0.025)
    width = curve(y, [(-0.2, 0.080), (0.0, 0.066), (0.2, 0.076), (0.33, 0.090), (0.42, 0.110)])
    bridge = ridge * np.exp(-(np.abs(a / width) ** 2.5))
    tip = 0.185 * ball(a, y, 0.0, 0.330, 0.090, 0.082)
    wing = 0.125 * ball(a, y, 0.112, 0.362, 0.056, 0.054)
    pillar = 0.090 * ball(a, y, 0.0, 0.400, 0.028, 0.045)
    melted = 0.022 * np.log(sum(np.exp(part / 0.022) for part in (bridge, tip, wing, pillar)) - 3)
    return melted - 0.012 * bump(a, y, 0.180, 0.350, 0.020, 0.040, 0.3) - 0.030 * bump(a, y, 0.062, 0.405, 0.022, 0.012, 0.2)


def eye_relief(p: Person, a: Image, y: Image) -> Image:
    t, upper, lower = eye_frame(p, a, y)
    taper = np.exp(-(np.abs(t / 1.1) ** 4))
    relief = 0.075 * bump(a, y, 0.29, -0.005, 0.12, 0.085)
    crease = upper - 0.042 * (1 - 0.25 * t)
    relief -= 0.020 * taper * np.exp(-(((y - crease) / 0.013) ** 2))
    relief += 0.014 * taper * np.exp(-(((y - crease + 0.05) / 0.03) ** 2)) * (0.6 + p.age)
    relief += 0.010 * taper * np.exp(-(((y - lower - 0.028) / 0.020) ** 2)) * (0.7 + 1.1 * p.age)
    relief -= (0.008 + 0.022 * p.age) * taper * np.exp(-(((y - lower - 0.085 - 0.03 * t) / 0.022) ** 2))
    return relief


def mouth_relief(p: Person, x: Image, y: Image) -> Image:
    t, top, line, bottom = mouth_frame(p, x)
    taper = np.exp(-(np.abs(t / 1.02) ** 6))
    full = np.sqrt(np.clip(1 - t * t, 0, 1))
    upper = np.clip((y - top) / (line - top + 1e-3), 0, 1)
    lower = np.clip((y - line) / (bottom - line + 1e-3), 0, 1)
    relief = 0.060 * bump(x, y, 0, 0.58, 0.20, 0.13)
    relief += full * (0.034 * p.lip * np.sin(np.pi * upper**0.7) + 0.060 * p.lip * np.sin(np.pi * lower**0.85))
    relief -= 0.028 * taper * np.exp(-(((y - line) / 0.011) ** 2))
    relief -= 0.020 * bump(np.abs(x), y, 0.265 + 0.03 * p.smile, 0.60 - 0.04 * p.smile, 0.022, 0.035)
    relief -= 0.014 * bump(x, y, 0, 0.50, 0.018, 0.045) - 0.006 * bump(np.abs(x), y, 0.036, 0.50, 0.012, 0.045)
    return relief - 0.038 * bump(x, y, 0, 0.755, 0.13, 0.032)


def fold_relief(p: Person, x: Image, y: Image) -> Image:
    """Nasolabial folds, wrinkles of the forehead and beside the eyes."""
    a = np.abs(x)
    fold = curve(y, [(0.30, 0.165), (0.42, 0.215), (0.55, 0.285), (0.70, 0.325), (0.85, 0.33)])
    along = ramp(y, 0.30, 0.40) * (1 - ramp(y, 0.52, 0.74))
    depth = 0.003 + 0.026 * p.age + 0.006 * p.smile
    relief = depth * along * (np.exp(-(((a - fold - 0.07) / 0.06) ** 2)) - np.exp(-(((a - fold) / 0.030) ** 2)))
    if p.age > 0.4:
        waves = sum(np.exp(-(((y + h + 0.03 * np.cos(4 * x + h * 9)) / 0.014) ** 2)) for h in (0.40, 0.50, 0.60))
        relief -= 0.008 * p.age * waves * np.exp(-((x / 0.36) ** 4))
        for turn in (-0.5, -0.15, 0.25):
            relief -= 0.008 * p.age * bump(a, y, 0.50, 0.01 + 0.12 * turn, 0.045, 0.006, turn)
        relief -= 0.012 * p.age * bump(a, y, 0.040, -0.16, 0.006, 0.045, 0.15)
    return relief


def head_height(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    """Height and distance from the outline (0 in the middle, 1 on it)."""
    s = head_radius(p, x, y)
    a = np.abs(x)
    height = 0.80 * np.sqrt(np.clip(1 - s**2.9, 0, 1))
    height += 0.035 * bump(a, y, 0.27, -0.20, 0.17, 0.055, -0.15) * (1.2 - p.lashes)
    height -= 0.120 * bump(a, y, 0.27, 0.00, 0.13, 0.085) + 0.045 * bump(a, y, 0.115, -0.04, 0.04, 0.07)
    height += 0.040 * bump(a, y, 0.43, 0.19, 0.13, 0.09, 0.35) + 0.03 * p.smile * bump(a, y, 0.33, 0.28, 0.10, 0.08)
    height -= (0.015 + 0.03 * p.age) * bump(a, y, 0.44, 0.50, 0.09, 0.13)
    height += 0.055 * bump(x, y, 0, 0.875, 0.13, 0.075) - 0.02 * bump(a, y, 0.57, -0.22, 0.06, 0.14)
    height += nose_relief(p, x, y) + eye_relief(p, a, y) + mouth_relief(p, x, y) + fold_relief(p, x, y)
    return height, s


def skin_colour(p: Person, rng: np.random.Generator, x: Image, y: Image) -> Image:
    a = np.abs(x)
    skin = np.tile(linear(p.skin), (SIZE, SIZE, 1))
    flush = 0.7 * bump(a, y, 0.38, 0.27, 0.14, 0.11) + 0.6 * bump(x, y, 0, 0.34, 0.10, 0.06)
    flush += 0.3 * bump(x, y, 0, 0.88, 0.15, 0.08)
    flush += 0.35 * bump(a, y, 0.29, 0.0, 0.15, 0.08) + 0.12 * noise(rng, 0.05) * (0.4 + p.age)
    skin *= np.exp(-flush[..., None] * np.array([0.02, 0.22, 0.20], np.float32))
    skin *= np.exp(-0.22 * bump(a, y, 0.25, 0.09, 0.09, 0.05) * (0.5 + p.age))[..., None]
    skin *= (1 + 0.035 * noise(rng, 0.12) + 0.025 * noise(rng, 0.012))[..., None]
    spots = ramp(noise(rng, 0.008), 1.6, 2.4) * (bump(a, y, 0.28, 0.22, 0.20, 0.12) + 0.5 * bump(x, y, 0, 0.15, 0.2, 0.15))
    skin *= np.exp(-p.freckles * spots[..., None] * np.array([0.35, 0.7, 0.9], np.float32))
    shadow = p.stubble * beard_region(a, y) * (0.5 + 0.5 * ramp(noise(rng, 0.004), -0.6, 0.9))
    skin *= np.exp(-shadow[..., None] * np.array([0.55, 0.48, 0.40], np.float32))
    return lip_colour(p, rng, skin, x, y)


def lip_colour(p: Person, rng: np.random.Generator, skin: Image, x: Image, y: Image) -> Image:
    t, top, line, bottom = mouth_frame(p, x)
    taper = 1 - ramp(np.abs(t), 0.90, 1.02)
    mask = ramp(y, top - 0.006, top + 0.008) * (1 - ramp(y, bottom - 0.012, bottom + 0.006)) * taper
    grain = np.exp(0.05 * cv2.resize(noise(rng, 0.010)[:, ::3], (SIZE, SIZE)))[..., None]
    skin = skin + (0.85 * mask)[..., None] * (linear(p.lips) * grain - skin)
    seam = np.exp(-(((y - line) / (0.007 + 0.004 * np.clip(1 - t * t, 0, 1))) ** 2)) * (1 - ramp(np.abs(t), 0.95, 1.10))
    skin = skin * (1 - 0.75 * seam[..., None] * np.array([0.9, 1.0, 1.0], np.float32))
    nostril = bump(np.abs(x) / p.nose, y, 0.060, 0.406, 0.024, 0.012, 0.15)
    return skin * np.exp(-2.0 * nostril**1.5)[..., None]


def beard_region(a: Image, y: Image) -> Image:
    """Where a beard grows: cheeks, chin and upper lip."""
    cheek = curve(a, [(0.0, 0.44), (0.14, 0.46), (0.24, 0.50), (0.34, 0.47), (0.48, 0.34), (0.57, 0.10), (0.7, -0.1)])
    return ramp(y, cheek, cheek + 0.06)


# --- eyes -----------------------------------------------------------------------------------------------------------


def eyes(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    """Light from the eyeballs and their cover."""
    a = np.abs(x)
    t, upper, lower = eye_frame(p, a, y)
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
    shade = 0.30 + 0.70 * ramp(y, upper - 0.005, upper + 0.060)
    light = light * (shade * (1 - 0.22 * np.abs(t) ** 2))[..., None] * p.light
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
    t, upper, lower = eye_frame(p, np.abs(x), y)
    thick = 0.009 + 0.007 * p.lashes * ramp(t, -1, 0.8)
    inside = 1 - ramp(np.abs(t), 0.98, 1.12)
    line = (0.62 + 0.3 * p.lashes) * np.exp(-(((y - upper) / thick) ** 2)) * inside
    return np.clip(line + (0.18 + 0.15 * p.lashes) * np.exp(-(((y - lower) / 0.007) ** 2)) * inside * ramp(t, -0.9, 0.6), 0, 0.97)


# --- neck, ears, clothes --------------------------------------------------------------------------------------------


def neck_height(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    half = p.neck * curve(y, [(0.3, 0.46), (0.8, 0.42), (1.05, 0.43), (1.22, 0.52), (1.34, 0.75), (1.45, 1.1)], 0.06)
    s = np.abs(x) / half
    height = -0.42 + 0.50 * np.sqrt(np.clip(1 - s**2, 0, 1)) + 0.15 * ramp(y, 1.1, 1.5)
    cord = curve(y, [(0.7, 0.36), (1.1, 0.22), (1.45, 0.06)])
    height += 0.022 * np.exp(-(((np.abs(x) - cord) / 0.05) ** 2)) + 0.03 * (1 - p.lashes) * bump(x, y, 0, 1.15, 0.06, 0.08)
    return height - 0.03 * bump(x, y, 0, 1.42, 0.06, 0.06), (1 - ramp(s, 0.985, 1.0)) * (y > 0.3)


def ear_height(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    a = np.abs(x)
    turn = -0.16
    c, s = np.cos(turn), np.sin(turn)
    u, v = a - 0.675 * p.width, y - 0.10
    u, v = (c * u + s * v) / 0.105, (c * v - s * u) / 0.235
    r = np.hypot(u * (1 + 0.25 * ramp(v, 0, 1)), v)
    height = -0.10 + 0.05 * u + 0.045 * np.exp(-(((r - 0.86) / 0.10) ** 2)) - 0.07 * bump(u, v, 0.05, 0.05, 0.34, 0.40)
    height += 0.025 * np.exp(-(((r - 0.52) / 0.10) ** 2)) * ramp(u, -0.2, 0.3) * (1 - ramp(v, 0.1, 0.6))
    return height - 0.10 * ramp(r, 0.88, 1.0) ** 2, 1 - ramp(r, 0.97, 1.0)


def clothes(p: Person, rng: np.random.Generator, x: Image, y: Image) -> tuple[Image, Image, Image]:
    """Height, cover and colour of the clothes."""
    a = np.abs(x)
    shoulder = curve(a, [(0.0, 1.02), (0.40, 1.06), (0.62, 1.17), (1.0, 1.27), (1.4, 1.40)], 0.08)
    throat = np.hypot(x / 0.50, (y - 1.00) / (0.36 if not p.collar else 0.34))
    cover = ramp(y, shoulder - 0.004, shoulder + 0.004) * ramp(throat, 0.995, 1.005)
    height = -0.40 + 0.40 * np.sqrt(np.clip((y - shoulder) / 0.5, 0, 1)) - 0.12 * a
    height += 0.035 * np.exp(-(((throat - 1.06) / 0.05) ** 2)) + 0.010 * noise(rng, 0.05) + 0.02 * noise(rng, 0.12)
    weave = 0.08 * noise(rng, 0.004) + 0.05 * noise(rng, 0.03)
    colour = linear(p.cloth) * np.exp(weave - 0.35 * np.exp(-(((throat - 1.12) / 0.008) ** 2)))[..., None]
    if p.collar:
        for side in (-1, 1):
            corners = [(0.47, 1.00), (0.52, 1.05), (0.60, 1.22), (0.40, 1.44), (0.22, 1.46), (0.06, 1.36), (0.30, 1.26)]
            flap = polygon([(side * u, v) for u, v in corners], 0.004)
            inner = polygon([(side * (0.36 + 0.93 * (u - 0.36)), 1.24 + 0.92 * (v - 1.24)) for u, v in corners], 0.003)
            height = height + flap * (0.10 - 0.02 * (flap - inner))
            cover = np.maximum(cover, flap)
            colour = colour * (1 + 0.10 * flap - 0.16 * blur(np.abs(flap - inner) * (1 - inner), 0.004))[..., None]
    return height.astype(np.float32), cover, colour


# --- light ----------------------------------------------------------------------------------------------------------


def cast_shadow(height: Image, direction: Colour, reach: float = 0.75, softness: float = 0.10) -> Image:
    """1 where the light sees the surface, 0 in its shadow; the edge softens with the distance of what casts it."""
    lx, ly, lz = direction
    flat = np.hypot(lx, ly)
    seen = np.ones_like(height)
    for step in np.linspace(0.02, 1, 36) ** 1.4 * reach:
        shift = np.float32([[1, 0, step * lx / flat / PIXEL], [0, 1, step * ly / flat / PIXEL]])
        there = cv2.warpAffine(height, shift, (SIZE, SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=-3)
        clear = height + step * lz / flat - there
        seen = np.minimum(seen, np.clip(clear / (softness * step + 0.004) + 0.75, 0, 1))
    return blur(seen, 0.008)


def occlusion(height: Image) -> Image:
    """Share of the sky that a point sees, from how deep it lies below its surroundings."""
    low = np.maximum(height, -0.9)
    depth = sum(w * np.maximum(blur(low, s) - low, 0) / s for s, w in ((0.012, 0.35), (0.03, 0.5), (0.07, 0.6), (0.15, 0.5)))
    return np.exp(-np.asarray(depth, np.float32))


def shine(normal: Image, direction: Colour, power: float) -> Image:
    half = unit_vector(tuple(unit_vector(direction) + np.array([0, 0, 1], np.float32)))
    return np.clip(normal @ half, 0, 1) ** power


def shade(p: Person, scene: Scene, shadow: Image) -> Image:
    """Light from skin and clothes."""
    normal = normals(scene.height)
    open_sky = occlusion(scene.height)
    up = (0.5 - 0.5 * normal[..., 1])[..., None]
    light = (up * np.float32(SKY) + (1 - up) * np.float32(GROUND)) * open_sky[..., None]
    key = np.clip(normal @ unit_vector(KEY), 0, 1) * shadow
    light = light + key[..., None] * np.float32(KEY_COLOUR)
    for direction, colour in ((FILL, FILL_COLOUR), (RIM, RIM_COLOUR)):
        light += (np.clip(normal @ unit_vector(direction), 0, 1) * open_sky)[..., None] * np.float32(colour)
    light = bleed(light, scene.bleed)
    facing = np.clip(normal[..., 2], 0, 1)
    fresnel = 0.35 + 0.65 * (1 - facing) ** 3
    gloss = scene.gloss * fresnel * open_sky
    spark = (0.28 * shine(normal, KEY, 22) + 0.10 * shine(normal, KEY, 70)) * shadow + 0.06 * shine(normal, FILL, 18)
    return p.light * (scene.albedo * light + (gloss * spark)[..., None])


def bleed(light: Image, skin: Image) -> Image:
    """Light scattered inside skin: red travels farthest."""
    weight = blur(skin, 0.02) + 1e-3
    spread = np.dstack([blur(light[..., c] * skin, s) / (blur(skin, s) + 1e-3) for c, s in enumerate((0.045, 0.020, 0.012))])
    share = 0.55 * skin * np.minimum(weight, 1)
    return light + share[..., None] * (spread - light)


# --- hair -----------------------------------------------------------------------------------------------------------


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


def combed(
    rng: np.random.Generator, guides: list[Knots], count: int, clumps: int, loose: float, wave: float = 0.0, n: int = 30
) -> Points:
    """Long hairs between neighbouring guides, gathered into locks towards their tips."""
    paths = np.stack([smooth_path(g, n) for g in guides])
    u = rng.random(count)
    nth = np.floor(u * clumps).astype(int)
    lock = (nth + 0.2 + 0.6 * rng.random(clumps)[nth]) / clumps
    t = np.linspace(0, 1, n)
    at = np.clip(u[:, None] + (lock - u)[:, None] * 0.75 * t**0.7, 0, 0.9999) * (len(guides) - 1)
    i, f = at.astype(int), (at % 1)[..., None]
    column = np.arange(n)[None]
    lines = paths[i, column] * (1 - f) + paths[i + 1, column] * f
    drift = rng.standard_normal((count, 1, 2)) * loose * (0.25 + t[:, None] ** 1.5) + 0.004 * rng.standard_normal((count, 1, 2))
    swing = wave * np.sin(t * 9 + 12 * lock[:, None] + 0.5 * rng.standard_normal((count, 1)))[..., None] * t[:, None]
    lines = lines + drift + swing * np.array([1.0, 0.2])
    keep = rng.uniform(0.80, 1.0, count)[:, None] * (n - 1) * t  # tips end unevenly
    j = np.minimum(keep.astype(int), n - 2)
    f = (keep - j)[..., None]
    row = np.arange(count)[:, None]
    return (lines[row, j] * (1 - f) + lines[row, j + 1] * f).astype(np.float32)


def hair_cover(groups: list[Strands]) -> Image:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for group in groups:
        points = np.round(to_pixels(group.lines) * 16).astype(np.int32)
        cv2.polylines(mask, list(points), False, 255, group.width, cv2.LINE_8, 4)
    return mask.astype(np.float32) / 255


def hair_mass(cover: Image, body: float) -> Image:
    """Height of the hair above what it lies on: rounded at the borders, uneven as the locks are."""
    full = blur(cover, 0.008)
    return body * np.sqrt(np.clip(0.6 * blur(full, 0.10) + 0.4 * blur(full, 0.04), 0, 1)) * ramp(full, 0.05, 0.6)


def paint_hair(p: Person, rng: np.random.Generator, picture: Image, group: Strands, height: Image, shadow: Image) -> None:
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
    colours = display(p.light * light)
    ends = np.round(pixels * 16).astype(np.int32)
    for line, shades in zip(ends, colours.tolist(), strict=True):
        points = list(map(tuple, line.tolist()))
        for start, end, shade_ in zip(points, points[1:], shades, strict=False):
            cv2.line(picture, start, end, shade_, group.width, cv2.LINE_AA, 4)


def strand_light(rng: np.random.Generator, group: Strands, tangent: Image, normal: Image, seen: Image) -> Image:
    count = len(tangent)
    own = np.exp(0.28 * rng.standard_normal((count, 1, 1))) * np.exp(0.06 * rng.standard_normal((count, 1, 3)))
    colour = linear(group.colour) * own
    white = (rng.random((count, 1, 1)) < group.grey) * rng.uniform(0.25, 0.55, (count, 1, 1))
    colour = np.maximum(colour, white * np.array([1.0, 0.98, 0.95]))
    depth = 0.30 + 0.70 * np.linspace(0, 1, count)[:, None] ** 0.8  # the first strands lie deepest
    light = np.zeros((*tangent.shape[:2], 3), np.float32)
    for direction, tint, shadowed in ((KEY, KEY_COLOUR, True), (FILL, FILL_COLOUR, False), (RIM, RIM_COLOUR, False)):
        way = unit_vector(direction)
        half = unit_vector(tuple(way + np.array([0, 0, 1], np.float32)))
        facing = np.clip((normal @ way + 0.35) / 1.35, 0, 1) * (0.25 + 0.75 * seen if shadowed else 1)
        across = np.sqrt(np.clip(1 - (tangent @ way) ** 2, 0, 1))
        slant = tangent + 0.10 * normal
        narrow = np.clip(1 - (slant @ half) ** 2, 0, 1) ** 45
        broad = np.clip(1 - ((tangent - 0.15 * normal) @ half) ** 2, 0, 1) ** 12
        glow = colour * (across + 1.0 * group.gloss * broad)[..., None] + 0.055 * group.gloss * narrow[..., None]
        light += (facing * depth)[..., None] * glow * np.float32(tint) * 1.25
    sky = np.float32(GROUND) + (0.5 - 0.5 * normal[..., 1:2]) * (np.float32(SKY) - np.float32(GROUND))
    return light + colour * sky * depth[..., None]


# --- the sitter's small hairs ---------------------------------------------------------------------------------------


def brow_hairs(p: Person, rng: np.random.Generator) -> list[Strands]:
    groups = []
    for side in (-1, 1):
        count = int(260 * p.brows)
        t, v = rng.beta(1.35, 1.25, count).astype(np.float32), rng.uniform(-1, 1, count)
        path = smooth_path([(0.115, -0.165), (0.22, -0.215), (0.35, -0.232), (0.47, -0.165)], 50)
        at = path[(t * 49).astype(int)]
        thick = 0.027 * (1 - 0.72 * t**1.5) * (0.45 + 0.55 * p.brows) * (0.45 + 0.55 * ramp(t, 0, 0.2))
        roots = np.stack([side * at[:, 0], at[:, 1] + v * thick], -1)
        rise = -1.05 * (1 - t) ** 1.5 + 0.38 * t + 0.25 * v * (1 - t)
        heading = np.where(side > 0, rise, np.pi - rise) + 0.12 * rng.standard_normal(count)
        hairs = fur(rng, roots, heading, rng.uniform(0.035, 0.065, count), 0.15, 7)
        groups.append(Strands(hairs, p.brow, gloss=0.2, body=0.004, grey=0.6 * max(p.age - 0.6, 0)))
    return groups


def lash_hairs(p: Person, rng: np.random.Generator) -> list[Strands]:
    groups = []
    for side in (-1, 1):
        count = int(70 * p.lashes)
        t = rng.uniform(-0.75, 0.98, count).astype(np.float32)
        _, upper, _ = eye_frame(p, 0.29 + 0.142 * t, t)
        roots = np.stack([side * (0.29 + 0.142 * t), upper], -1)
        rise = -1.75 + 1.25 * (t + 0.75) / 1.7
        heading = np.where(side > 0, rise, np.pi - rise) + 0.08 * rng.standard_normal(count)
        groups.append(Strands(fur(rng, roots, heading, 0.014 + 0.020 * ramp(t, -1, 1), 0.2, 6), (0.10, 0.07, 0.06), 0.1, 0.0))
    return groups


def glasses_frame(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    """Masks of the frame and of the lenses."""
    a = np.abs(x)
    r = (np.abs((a - 0.305) / 0.235) ** 3.2 + np.abs((y - 0.035) / 0.185) ** 2.8) ** (1 / 3)
    rim = 1 - ramp(np.abs(r - 1), 0.060, 0.090)
    arch = y + 0.045 - 0.9 * a * a
    bridge = (1 - ramp(np.abs(arch), 0.012, 0.020)) * (1 - ramp(a, 0.075, 0.09))
    arm = 1 - ramp(np.abs(y + 0.07 - 0.05 * (a - 0.5)), 0.018, 0.026)
    arm = arm * ramp(a, 0.52, 0.54) * (1 - ramp(a, 0.665 * p.width, 0.685 * p.width))
    return np.maximum(np.maximum(rim, bridge), arm), 1 - ramp(r, 0.95, 1.0)


# --- the picture ----------------------------------------------------------------------------------------------------


def build(p: Person, rng: np.random.Generator, x: Image, y: Image) -> Scene:
    """Neck, clothes, ears and head, one over the other."""
    fx, fy = face_space(p, x, y)
    skin = skin_colour(p, rng, fx, fy)
    plain = np.broadcast_to(linear(p.skin) * np.array([0.96, 0.93, 0.93], np.float32), skin.shape)
    neck, neck_cover = neck_height(p, x, y)
    ear, ear_cover = ear_height(p, fx, fy)
    cloth, cloth_cover, cloth_colour = clothes(p, rng, x, y)
    head, s = head_height(p, fx, fy)
    head_cover = 1 - ramp(s, 0.992, 1.0)
    pores = (0.0003 + 0.0003 * p.age) * noise(rng, 0.005) + 0.0005 * p.age * noise(rng, 0.014)

    flat = np.zeros((SIZE, SIZE), np.float32)
    scene = Scene(flat - 1.2, np.dstack([flat] * 3), flat, flat, flat)
    oily = 0.75 + 0.5 * bump(fx, fy, 0, 0.1, 0.12, 0.35) + 0.3 * bump(fx, fy, 0, -0.5, 0.4, 0.2)
    red = np.array([1.0, 0.82, 0.80], np.float32)
    _lay(scene, neck, plain, neck_cover, 0.7, 1.0)
    _lay(scene, ear, plain * red, ear_cover, 0.6, 1.0)
    _lay(scene, cloth, cloth_colour, cloth_cover, 0.05, 0.0)
    _lay(scene, head + pores, skin, head_cover, oily, 1.0)
    return scene


def _lay(scene: Scene, height: Image, albedo: Image, cover: Image, gloss: Image | float, bleeding: float) -> None:
    c = cover[..., None]
    scene.height = np.where(cover > 0.5, height, scene.height).astype(np.float32)
    scene.albedo = scene.albedo * (1 - c) + albedo * c
    scene.cover = np.maximum(scene.cover, cover)
    scene.gloss = scene.gloss * (1 - cover) + gloss * cover
    scene.bleed = scene.bleed * (1 - cover) + bleeding * cover


def backdrop(p: Person, rng: np.random.Generator, x: Image, y: Image) -> Image:
    """A wall out of focus, lit from one side."""
    a, b = (linear(colour) for colour in p.ground)
    mix = ramp(0.55 * x + 0.35 * y + 0.25 * noise(rng, 0.5), -1.1, 1.1)[..., None]
    glow = 1 + 0.35 * bump(x, y, 0.5, 0.1, 0.8, 0.9)
    return ((a + mix * (b - a)) * glow[..., None] * (1 + 0.03 * noise(rng, 0.15))[..., None]).astype(np.float32)


def placed(p: Person, group: Strands) -> Strands:
    """The hairs turned along with the head."""
    c, s = np.cos(p.roll), np.sin(p.roll)
    x, y = group.lines[..., 0], group.lines[..., 1]
    x = x + p.yaw * np.sqrt(np.clip(1 - (x / 0.72) ** 2 - ((y - 0.05) / 1.1) ** 2, 0, 1))
    down = y - 0.9
    return replace(group, lines=np.stack([c * x - s * down, s * x + c * down + 0.9], -1))


def render(p: Person) -> Image:
    """The rendering (SIZE, SIZE, 3) uint8 RGB before the camera's blur and grain."""
    rng = np.random.default_rng(p.seed)
    x, y = grid()
    fx, fy = face_space(p, x, y)
    scene = build(p, rng, x, y)
    groups = [placed(p, g) for g in p.hair(rng)]
    front, behind = [g for g in groups if not g.back], [g for g in groups if g.back]

    mass = scene.height.copy()
    for g in front:
        cover = hair_cover([g])
        rise = hair_mass(cover, g.body)
        mass = np.where(rise > 0.004, np.maximum(mass, _hair_base(p, fx, fy)) + rise, mass)
    shadow = cast_shadow(mass, KEY)
    veil = np.exp(-1.1 * blur(np.clip(mass - scene.height, 0, 0.2) / 0.2, 0.03))

    light = backdrop(p, rng, x, y)
    picture = display(p.light * light)
    for g in behind:
        paint_hair(p, rng, picture, g, hair_mass(hair_cover([g]), g.body) - 1, shadow * 0.5)
    light = linear(picture / np.float32(255))
    skin = shade(p, scene, shadow) * (0.35 + 0.65 * veil)[..., None]
    ball, open_eye = eyes(p, fx, fy)
    inner = head_radius(p, fx, fy) < 0.9
    open_eye = open_eye * inner
    ball = ball * (0.45 + 0.55 * blur(shadow, 0.05))[..., None]
    skin = skin + open_eye[..., None] * (ball - skin)
    skin *= (1 - lid_lines(p, fx, fy) * inner)[..., None]
    light = light + scene.cover[..., None] * (skin - light)
    if p.glasses:
        light = put_on_glasses(p, light, fx, fy)
    picture = display(light)
    own_hairs = brow_hairs(p, rng) + lash_hairs(p, rng)
    bare = picture.copy()
    for g in own_hairs:
        paint_hair(p, rng, picture, placed(p, g), scene.height, shadow)
    picture = cv2.addWeighted(picture, 0.72, bare, 0.28, 0)
    for g in front:
        paint_hair(p, rng, picture, g, mass, shadow)
    return picture


def _hair_base(p: Person, x: Image, y: Image) -> Image:
    """The skull below the hair, continued beyond its outline."""
    return (0.78 * np.sqrt(np.clip(1.7 - head_radius(p, x, y) ** 2, 0.0, 2)) - 0.32).astype(np.float32)


def put_on_glasses(p: Person, light: Image, x: Image, y: Image) -> Image:
    frame, lens = glasses_frame(p, x, y)
    shift = np.float32([[1, 0, 0.030 / PIXEL], [0, 1, 0.045 / PIXEL]])
    dim = blur(cv2.warpAffine(frame, shift, (SIZE, SIZE)), 0.016)
    light = light * (1 - 0.40 * dim)[..., None]
    sheen = lens * (0.004 + 0.009 * ramp(-x - y * 1.2 - 0.1 * np.sign(x), -0.1, 0.25) * (np.abs(y) < 0.3))
    light = light + sheen[..., None] * np.array([0.85, 0.95, 1.0], np.float32)
    round_ = normals(0.03 * np.sqrt(np.clip(blur(frame, 0.006), 0, 1)))
    body = np.array([0.030, 0.018, 0.014], np.float32) * (0.6 + 0.8 * np.clip(round_ @ unit_vector(KEY), 0, 1))[..., None]
    body = body + (0.45 * shine(round_, KEY, 30))[..., None]
    return light + frame[..., None] * (body - light)


def photograph(p: Person, side: int = 256) -> Image:
    """The portrait as a camera would give it: (side, side, 3) uint8 RGB."""
    rng = np.random.default_rng(p.seed + 1)
    sharp = cv2.resize(render(p), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = cv2.GaussianBlur(sharp, (0, 0), 0.45 * side / 256)
    v, u = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    soft *= (1 - 0.07 * (u * u + v * v))[..., None]
    grain = cv2.GaussianBlur(rng.standard_normal(soft.shape).astype(np.float32), (0, 0), 0.6) * 3.0
    return np.clip(np.round(soft + grain), 0, 255).astype(np.uint8)


# --- four sitters ---------------------------------------------------------------------------------------------------


def long_hair(rng: np.random.Generator) -> list[Strands]:
    """A side parting, falling past the jaw."""
    colour = (0.42, 0.24, 0.15)
    left = [
        [(0.17, -1.06), (-0.30, -1.08), (-0.74, -0.72), (-0.90, -0.15), (-0.92, 0.45), (-0.86, 1.15)],
        [(0.19, -1.00), (-0.22, -1.00), (-0.66, -0.62), (-0.80, -0.05), (-0.82, 0.50), (-0.78, 1.18)],
        [(0.20, -0.90), (-0.14, -0.90), (-0.55, -0.55), (-0.70, 0.00), (-0.73, 0.50), (-0.68, 1.15)],
        [(0.21, -0.80), (-0.06, -0.76), (-0.46, -0.48), (-0.63, 0.00), (-0.66, 0.45), (-0.60, 1.05)],
    ]
    right = [
        [(0.17, -1.06), (0.52, -1.00), (0.80, -0.60), (0.89, -0.05), (0.92, 0.50), (0.86, 1.15)],
        [(0.19, -1.00), (0.48, -0.92), (0.74, -0.50), (0.81, 0.02), (0.83, 0.55), (0.79, 1.18)],
        [(0.20, -0.90), (0.42, -0.80), (0.64, -0.45), (0.71, 0.05), (0.74, 0.55), (0.70, 1.15)],
        [(0.21, -0.80), (0.36, -0.72), (0.55, -0.42), (0.64, 0.05), (0.68, 0.50), (0.62, 1.05)],
    ]
    back = [[(u, 0.0), (1.05 * u, 0.5), (1.02 * u, 1.2)] for u in (-0.85, -0.4, 0.4, 0.85)]
    dark = (0.20, 0.11, 0.07)
    return [
        Strands(combed(rng, back, 5000, 30, 0.02, 0.02), dark, 0.4, 0.1, 2, back=True),
        Strands(combed(rng, right, 5200, 34, 0.022, 0.030), colour, 1.0, 0.20),
        Strands(combed(rng, left, 6200, 40, 0.022, 0.030), colour, 1.0, 0.20),
    ]


def hairline(t: Image) -> Points:
    """Hairline of short hair from one ear (t = 0) over the forehead to the other (t = 1)."""
    half = [(0.645, 0.02), (0.60, -0.30), (0.51, -0.54), (0.34, -0.68)]
    knots = [*((-u, v) for u, v in half), (0.0, -0.66), *half[::-1]]
    return smooth_path(knots, 400)[(np.clip(t, 0, 1) * 399).astype(int)]


def crop_hair(rng: np.random.Generator, rise: float = 0.07) -> Points:
    """Short hair brushed up and aside; the hairs behind come first."""
    count = 15000
    t, k = rng.random(count), np.sort(rng.random(count) ** 0.8)[::-1]
    inner = hairline(t)
    angle = np.arctan2(inner[:, 0], -inner[:, 1] + 0.1)
    outer = np.stack([0.69 * np.sin(angle) * (1 + 0.10 * np.sin(2 * angle) ** 2), -0.02 - 0.95 * np.cos(angle)], -1)
    roots = inner + (outer - inner) * k[:, None] + (0.012 + 0.03 * (1 - k[:, None]) ** 8) * rng.standard_normal((count, 2))
    top = np.cos(angle) ** 2
    lock = 0.30 * rng.standard_normal((90, 12))[(t * 89).astype(int), (k * 11).astype(int)]
    heading = np.arctan2(-np.cos(angle) - 0.15, np.sin(angle) + 0.75 * top + 0.05) + lock + 0.15 * rng.standard_normal(count)
    length = (0.045 + (rise + 0.05) * top) * rng.uniform(0.7, 1.2, count)
    return fur(rng, roots, heading, length, 0.45, 10)


def full_beard(rng: np.random.Generator) -> Points:
    count = 30000
    x, y = rng.uniform(-0.68, 0.68, count), rng.uniform(0.0, 1.03, count)
    a = np.abs(x).astype(np.float32)
    lips = np.exp(-(np.abs(x / 0.23) ** 4) - np.abs((y - 0.632) / 0.090) ** 4)
    outline = np.hypot(x / 0.70, (y - 0.1) / 0.93)
    keep = rng.random(count) < beard_region(a, y.astype(np.float32)) * (1 - lips) * (outline < 0.97)
    x, y = x[keep], y[keep]
    order = np.argsort(-y)
    x, y = x[order], y[order]
    moustache = (y < 0.60) & (np.abs(x) < 0.24)
    heading = np.where(moustache, np.pi / 2 - np.sign(x) * 0.85, np.pi / 2 + 0.35 * x) + 0.25 * rng.standard_normal(len(x))
    length = np.where(moustache, 0.042, 0.045 + 0.05 * ramp(y, 0.6, 1.0)) * rng.uniform(0.7, 1.2, len(x))
    return fur(rng, np.stack([x, y], -1), heading, length, 0.5, 8)


def short_and_bearded(rng: np.random.Generator) -> list[Strands]:
    return [
        Strands(crop_hair(rng), (0.17, 0.12, 0.095), 0.9, 0.10),
        Strands(full_beard(rng), (0.19, 0.13, 0.10), 0.5, 0.06),
    ]


def curls(rng: np.random.Generator) -> list[Strands]:
    """A round mass of small curls; those at the back come first."""
    count = 9000
    t = rng.uniform(0.0, 1.0, count)
    k = np.sort(rng.random(count) ** 0.7)[::-1]
    inner = hairline(t) + np.array([0, 0.04]) * (np.abs(t - 0.5) < 0.3)[:, None]
    angle = (t - 0.5) * 2 * 2.15
    outer = np.stack([1.02 * np.sin(angle), -0.22 - 1.02 * np.cos(angle)], -1)
    outer *= (1 - 0.14 * np.abs(2 * t - 1) ** 4 + 0.025 * np.sin(9 * angle) + 0.02 * np.sin(23 * angle + 1))[:, None]
    roots = inner + (outer - inner) * (k * 0.93)[:, None]
    heading = np.arctan2(-np.cos(angle), np.sin(angle)) + 0.5 * rng.standard_normal(count)
    lines = fur(rng, roots, heading, rng.uniform(0.06, 0.14, count), 0.8, 22, 0.022)
    return [Strands(lines, (0.15, 0.10, 0.085), 0.9, 0.30, 2)]


def side_fringe(rng: np.random.Generator) -> list[Strands]:
    """What is left around a bald crown."""
    groups = []
    for side in (-1, 1):
        count = 2400
        u, v = rng.beta(0.7, 2.2, count), rng.beta(1.5, 1.6, count)
        edge = smooth_path([(0.65, -0.46), (0.685, -0.28), (0.69, -0.10), (0.68, 0.12)], 100)[(v * 99).astype(int)]
        roots = np.stack([side * (edge[:, 0] - 0.13 * u * np.sin(np.pi * np.clip(v + 0.08, 0, 1))), edge[:, 1]], -1)
        heading = np.pi / 2 - side * (0.35 - 0.5 * v) + 0.25 * rng.standard_normal(count)
        lines = fur(rng, roots, heading, rng.uniform(0.03, 0.075, count), 0.4, 10)
        groups.append(Strands(lines[np.argsort(-u)], (0.43, 0.415, 0.405), 0.5, 0.02, grey=0.25))
    return groups


PEOPLE = (
    Person(
        seed=11, skin=(0.90, 0.725, 0.635), lips=(0.78, 0.45, 0.43), iris=(0.36, 0.47, 0.42), brow=(0.33, 0.20, 0.13),
        cloth=(0.16, 0.42, 0.46), ground=((0.80, 0.80, 0.78), (0.60, 0.62, 0.64)), hair=long_hair, width=0.965, jaw=-0.05,
        nose=0.90, lip=1.08, age=0.05, smile=0.75, eye=0.98, tilt=0.8, brows=0.7, lashes=0.95, freckles=0.5, neck=0.88,
        yaw=0.05, roll=-0.03,
    ),
    Person(
        seed=22, skin=(0.74, 0.54, 0.42), lips=(0.60, 0.37, 0.33), iris=(0.30, 0.19, 0.11), brow=(0.12, 0.085, 0.07),
        cloth=(0.33, 0.43, 0.58), ground=((0.55, 0.60, 0.58), (0.38, 0.44, 0.45)), hair=short_and_bearded, width=1.02,
        jaw=0.06, nose=1.06, lip=0.95, age=0.30, smile=0.4, eye=0.86, tilt=0.3, brows=1.45, lashes=0.3, stubble=0.9,
        neck=1.06, collar=True, yaw=-0.06, roll=0.02,
    ),
    Person(
        seed=33, skin=(0.49, 0.325, 0.245), lips=(0.52, 0.27, 0.26), iris=(0.22, 0.13, 0.08), brow=(0.09, 0.065, 0.055),
        cloth=(0.80, 0.58, 0.20), ground=((0.82, 0.76, 0.68), (0.66, 0.60, 0.54)), hair=curls, width=0.99, jaw=-0.01,
        nose=1.18, lip=1.30, age=0.10, smile=0.7, eye=0.95, tilt=0.6, brows=0.9, lashes=0.85, neck=0.90, glasses=True,
        yaw=0.03, roll=0.025, light=1.15,
    ),
    Person(
        seed=44, skin=(0.87, 0.68, 0.58), lips=(0.72, 0.47, 0.43), iris=(0.40, 0.50, 0.58), brow=(0.48, 0.44, 0.40),
        cloth=(0.24, 0.26, 0.34), ground=((0.45, 0.50, 0.58), (0.30, 0.34, 0.42)), hair=side_fringe, width=1.03, jaw=0.07,
        nose=1.12, lip=0.80, age=0.90, smile=0.85, eye=0.82, tilt=0.1, brows=1.2, lashes=0.1, stubble=0.22, neck=1.05,
        collar=True, yaw=-0.03, roll=-0.02,
    ),
)  # fmt: skip
