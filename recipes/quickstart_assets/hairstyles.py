"""What grows on the sitters: four heads of hair, a beard, brows and lashes."""

from __future__ import annotations

import numpy as np
from canvas import Image, Points, ramp
from hair import Strands, combed, fur, smooth_path
from head import eye_frame
from sitter import Person
from skin import beard_region


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


def hairline(t: Image) -> Points:
    """Hairline of short hair from one ear (t = 0) over the forehead to the other (t = 1)."""
    half = [(0.645, 0.02), (0.60, -0.30), (0.51, -0.54), (0.34, -0.68)]
    knots = [*((-u, v) for u, v in half), (0.0, -0.66), *half[::-1]]
    return smooth_path(knots, 400)[(np.clip(t, 0, 1) * 399).astype(int)]


def crop_hair(rng: np.random.Generator) -> Points:
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
    length = (0.045 + 0.12 * top) * rng.uniform(0.7, 1.2, count)
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
        _, upper, _ = eye_frame(p, 0.29 + 0.142 * t)
        roots = np.stack([side * (0.29 + 0.142 * t), upper], -1)
        rise = -1.75 + 1.25 * (t + 0.75) / 1.7
        heading = np.where(side > 0, rise, np.pi - rise) + 0.08 * rng.standard_normal(count)
        groups.append(Strands(fur(rng, roots, heading, 0.014 + 0.020 * ramp(t, -1, 1), 0.2, 6), (0.10, 0.07, 0.06), 0.1, 0.0))
    return groups
