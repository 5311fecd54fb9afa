"""What the sitters wear: a knitted neckline or a collar, and glasses."""

from __future__ import annotations

import cv2
import numpy as np
from canvas import PIXEL, SIZE, Image, blur, curve, linear, noise, polygon, ramp
from light import KEY, normals, shine, unit_vector
from sitter import Person


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


def put_on_glasses(p: Person, light: Image, x: Image, y: Image) -> Image:
    frame, lens = glasses_frame(p, x, y)
    shift = np.float32([[1, 0, 0.030 / PIXEL], [0, 1, 0.045 / PIXEL]])
    dim = blur(cv2.warpAffine(frame, shift, (SIZE, SIZE)), 0.016)
    light = light * (1 - 0.40 * dim)[..., None]
    sheen = lens * (0.004 + 0.009 * ramp(-x - y * 1.2 - 0.1 * np.sign(x), -0.1, 0.25) * (np.abs(y) < 0.3))
    light = light + sheen[..., None] * np.array([0.85, 0.95, 1.0], np.float32)
    round_ = normals(0.03 * np.sqrt(np.clip(blur(frame, 0.006), 0, 1)))
    lit = np.clip(round_ @ unit_vector(KEY.direction), 0, 1)
    body = np.array([0.030, 0.018, 0.014], np.float32) * (0.6 + 0.8 * lit)[..., None]
    body = body + (0.45 * shine(round_, KEY, 30))[..., None]
    return light + frame[..., None] * (body - light)
