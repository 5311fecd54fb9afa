"""The skin's colour: flush, spots, freckles, lips and the shadow of a shaven beard."""

from __future__ import annotations

import cv2
import numpy as np
from canvas import SIZE, Image, bump, curve, linear, noise, ramp
from head import mouth_frame
from sitter import Person


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
