"""Synthetic portraits: people who do not exist, rendered from a few numbers each.

A head is a height field lit by a soft key light with cast shadows, ambient occlusion and light that bleeds through skin
(`head`, `skin`, `eyes`, `dress`, `light`). Hair, beard, brows and lashes are thousands of separately shaded strands
(`hair`, `hairstyles`). Here they come together: rendered four times larger than wanted, then reduced with a trace of
blur and grain, as a camera would. The four sitters stand at the end.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from canvas import SIZE, Image, blur, bump, display, grid, linear, noise, ramp
from dress import clothes, put_on_glasses
from eyes import eyeballs, lid_lines
from hair import Strands, hair_mass, paint_hair
from hairstyles import brow_hairs, curls, lash_hairs, long_hair, short_and_bearded, side_fringe
from head import ear_height, face_space, from_face_space, head_height, head_radius, neck_height
from light import KEY, Scene, cast_shadow, shade
from sitter import Person
from skin import skin_colour


def photograph(p: Person, side: int) -> Image:
    """The portrait as a camera would give it: (side, side, 3) uint8 RGB."""
    rng = np.random.default_rng(p.seed + 1)
    sharp = cv2.resize(render(p), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = cv2.GaussianBlur(sharp, (0, 0), 0.45 * side / 256)
    v, u = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    soft *= (1 - 0.07 * (u * u + v * v))[..., None]
    grain = cv2.GaussianBlur(rng.standard_normal(soft.shape).astype(np.float32), (0, 0), 0.6) * 3.0
    return np.clip(np.round(soft + grain), 0, 255).astype(np.uint8)


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
        rise = hair_mass(g)
        mass = np.where(rise > 0.004, np.maximum(mass, _hair_base(p, fx, fy)) + rise, mass)
    shadow = cast_shadow(mass, KEY)
    veil = np.exp(-1.1 * blur(np.clip(mass - scene.height, 0, 0.2) / 0.2, 0.03))

    light = backdrop(p, rng, x, y)
    picture = display(p.light * light)
    for g in behind:
        paint_hair(rng, picture, g, hair_mass(g) - 1, shadow * 0.5, p.light)
    light = linear(picture / np.float32(255))
    skin = shade(scene, shadow, p.light) * (0.35 + 0.65 * veil)[..., None]
    eyeball, open_eye = eyeballs(p, fx, fy)
    inner = head_radius(p, fx, fy) < 0.9
    open_eye = open_eye * inner
    eyeball = eyeball * (0.45 + 0.55 * blur(shadow, 0.05))[..., None]
    skin = skin + open_eye[..., None] * (eyeball - skin)
    skin *= (1 - lid_lines(p, fx, fy) * inner)[..., None]
    light = light + scene.cover[..., None] * (skin - light)
    if p.glasses:
        light = put_on_glasses(p, light, fx, fy)
    picture = display(light)
    bare = picture.copy()
    for g in brow_hairs(p, rng) + lash_hairs(p, rng):
        paint_hair(rng, picture, placed(p, g), scene.height, shadow, p.light)
    picture = cv2.addWeighted(picture, 0.72, bare, 0.28, 0)
    for g in front:
        paint_hair(rng, picture, g, mass, shadow, p.light)
    return picture


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
    return replace(group, lines=from_face_space(p, group.lines))


def _hair_base(p: Person, x: Image, y: Image) -> Image:
    """The skull below the hair, continued beyond its outline."""
    return (0.78 * np.sqrt(np.clip(1.7 - head_radius(p, x, y) ** 2, 0.0, 2)) - 0.32).astype(np.float32)


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
