"""The studio's light: a soft key light that casts shadows, a fill and a rim light, sky and ground, and light in skin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from canvas import PIXEL, SIZE, Colour, Image, blur

Direction = tuple[float, float, float]


class Lamp(NamedTuple):
    """A light far away, seen in `direction` from the sitter."""

    direction: Direction
    colour: Colour


KEY = Lamp((-0.50, -0.56, 0.66), (1.28, 1.21, 1.12))
FILL = Lamp((0.75, -0.05, 0.66), (0.17, 0.18, 0.20))
RIM = Lamp((0.88, -0.42, 0.10), (0.20, 0.21, 0.23))
SKY, GROUND = (0.27, 0.28, 0.30), (0.215, 0.175, 0.15)
SHADOW_REACH, SHADOW_SOFTNESS = 0.75, 0.10


@dataclass
class Scene:
    """Skin and clothes as the light finds them: height, colour, cover, gloss and translucence."""

    height: Image
    albedo: Image
    cover: Image
    gloss: Image
    bleed: Image


def unit_vector(vector: Direction | Image) -> Image:
    return np.asarray(vector, np.float32) / np.linalg.norm(vector).astype(np.float32)


def halfway(direction: Direction) -> Image:
    """Between the light and the camera: the normal that mirrors one into the other."""
    return unit_vector(unit_vector(direction) + np.array([0, 0, 1], np.float32))


def sky_light(up: Image) -> Image:
    """Light from all around on surfaces from facing down (0) to facing up (1); `up` is (..., 1)."""
    return up * np.float32(SKY) + (1 - up) * np.float32(GROUND)


def normals(height: Image) -> Image:
    gx, gy = (cv2.Sobel(height, cv2.CV_32F, *d, ksize=3, scale=1 / (8 * PIXEL)) for d in ((1, 0), (0, 1)))
    normal = np.dstack([-gx, -gy, np.ones_like(gx)])
    return normal / np.sqrt((normal * normal).sum(2, keepdims=True))


def cast_shadow(height: Image, lamp: Lamp) -> Image:
    """1 where the light sees the surface, 0 in its shadow; the edge softens with the distance of what casts it."""
    lx, ly, lz = lamp.direction
    flat = np.hypot(lx, ly)
    seen = np.ones_like(height)
    for step in np.linspace(0.02, 1, 36) ** 1.4 * SHADOW_REACH:
        shift = np.float32([[1, 0, step * lx / flat / PIXEL], [0, 1, step * ly / flat / PIXEL]])
        there = cv2.warpAffine(height, shift, (SIZE, SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=-3)
        clear = height + step * lz / flat - there
        seen = np.minimum(seen, np.clip(clear / (SHADOW_SOFTNESS * step + 0.004) + 0.75, 0, 1))
    return blur(seen, 0.008)


def occlusion(height: Image) -> Image:
    """Share of the sky that a point sees, from how deep it lies below its surroundings."""
    low = np.maximum(height, -0.9)
    depth = sum(w * np.maximum(blur(low, s) - low, 0) / s for s, w in ((0.012, 0.35), (0.03, 0.5), (0.07, 0.6), (0.15, 0.5)))
    return np.exp(-np.asarray(depth, np.float32))


def shine(normal: Image, lamp: Lamp, power: float) -> Image:
    return np.clip(normal @ halfway(lamp.direction), 0, 1) ** power


def shade(scene: Scene, shadow: Image, exposure: float) -> Image:
    """Light from skin and clothes."""
    normal = normals(scene.height)
    open_sky = occlusion(scene.height)
    light = sky_light(0.5 - 0.5 * normal[..., 1:2]) * open_sky[..., None]
    key = np.clip(normal @ unit_vector(KEY.direction), 0, 1) * shadow
    light = light + key[..., None] * np.float32(KEY.colour)
    for direction, colour in (FILL, RIM):
        light += (np.clip(normal @ unit_vector(direction), 0, 1) * open_sky)[..., None] * np.float32(colour)
    light = bleed(light, scene.bleed)
    facing = np.clip(normal[..., 2], 0, 1)
    fresnel = 0.35 + 0.65 * (1 - facing) ** 3
    gloss = scene.gloss * fresnel * open_sky
    spark = (0.28 * shine(normal, KEY, 22) + 0.10 * shine(normal, KEY, 70)) * shadow + 0.06 * shine(normal, FILL, 18)
    return exposure * (scene.albedo * light + (gloss * spark)[..., None])


def bleed(light: Image, skin: Image) -> Image:
    """Light scattered inside skin: red travels farthest."""
    weight = blur(skin, 0.02) + 1e-3
    spread = np.dstack([blur(light[..., c] * skin, s) / (blur(skin, s) + 1e-3) for c, s in enumerate((0.045, 0.020, 0.012))])
    share = 0.55 * skin * np.minimum(weight, 1)
    return light + share[..., None] * (spread - light)
