"""The head's shape: an outline inflated like a balloon, with nose, sockets, lids, lips and folds as relief; ears and neck."""

from __future__ import annotations

import cv2
import numpy as np
from canvas import Image, Points, ball, bump, curve, ramp
from sitter import Person

OUTLINE = [  # half width of the face from the crown to the chin
    (-1.0, 0.0), (-0.965, 0.20), (-0.87, 0.39), (-0.72, 0.53), (-0.5, 0.63), (-0.25, 0.665), (0.0, 0.655),
    (0.2, 0.63), (0.4, 0.585), (0.58, 0.52), (0.74, 0.43), (0.87, 0.31), (0.96, 0.17), (1.0, 0.0),
]  # fmt: skip


def face_space(p: Person, x: Image, y: Image) -> tuple[Image, Image]:
    """Picture coordinates → the upright, frontal face's: undo the roll, and the parallax of a slight turn."""
    c, s = np.cos(p.roll), np.sin(p.roll)
    down = y - 0.9
    x, y = c * x + s * down, c * down - s * x + 0.9
    return x - p.yaw * _depth(x, y), y


def from_face_space(p: Person, points: Points) -> Points:
    """The way back, for points: turn them along with the head."""
    c, s = np.cos(p.roll), np.sin(p.roll)
    x, y = points[..., 0], points[..., 1]
    x = x + p.yaw * _depth(x, y)
    down = y - 0.9
    return np.stack([c * x - s * down, s * x + c * down + 0.9], -1)


def _depth(x: Image, y: Image) -> Image:
    return np.sqrt(np.clip(1 - (x / 0.72) ** 2 - ((y - 0.05) / 1.1) ** 2, 0, 1))


def head_radius(p: Person, x: Image, y: Image) -> Image:
    """0 on the face's axis, 1 on its outline."""
    rows, half = np.array(OUTLINE).T
    half = half * p.width * (1 + p.jaw * np.exp(-(((rows - 0.72) / 0.2) ** 2)))
    angle, radius = np.arctan2(half, rows), np.hypot(half, rows)
    dense = np.linspace(0, np.pi, 361)
    table = np.interp(dense, angle[::-1], radius[::-1])
    table = cv2.GaussianBlur(np.r_[table[180:0:-1], table, table[-2:180:-1]][None], (0, 0), sigmaX=7, sigmaY=0.1)[0][180:541]
    return np.hypot(x, y) / np.interp(np.arctan2(np.abs(x), y), dense, table).astype(np.float32)


def eye_frame(p: Person, a: Image) -> tuple[Image, Image, Image]:
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
    t, upper, lower = eye_frame(p, a)
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
