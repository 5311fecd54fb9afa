"""Photo → (drawing, words): the lessons `mini` learns to obey.

`procedural` draws any photo by filters; `sketch_mix` starts from a real sketch of the photo and varies its
line, tone and paper. Both return a grey drawing (H, W) float32 in [0, 1] and the words that describe it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from drawing import (
    Image,
    blur,
    dodge,
    grey,
    halftone,
    hatching,
    line_weight,
    noise,
    outlines,
    over,
    stipple,
    stretch,
    unit,
    xdog,
)

Edit = tuple[Image, list[str]]
WEIGHTS = ("fine", "thin", "medium", "thick", "bold")
STRENGTHS = ("faint", "light", "medium", "dark")


def level(value: float, low: float, high: float, names: Sequence[str]) -> str:
    """The name of the equal part of [low, high] that holds `value`."""
    return names[int(np.clip((value - low) / (high - low) * len(names), 0, len(names) - 1))]


def procedural(rng: np.random.Generator, photo: Image, mask: Image | None) -> Edit:
    g = grey(photo)
    if rng.random() < 0.3:
        g = unit((g - g.mean()) * rng.uniform(0.8, 1.4) + rng.uniform(0.4, 0.65))
    subject = mask if mask is not None and rng.random() < 0.6 else None
    kinds, odds = zip(*FILTERS.items(), strict=True)
    kind = kinds[rng.choice(len(kinds), p=np.array(odds) / sum(odds))]
    drawing, words = kind(rng, g, subject)
    if subject is not None and kind is not edges_on_black:
        drawing, words = over(drawing, subject), [*words, "white", "background"]
    if kind in (photograph, edges_on_black):
        return unit(drawing), words
    return on_paper(rng, unit(drawing), words, odds=0.35)


def sketch_mix(rng: np.random.Generator, photo: Image, sketch: Image, mask: Image | None, artist: str) -> Edit:
    drawing, words = sketch.copy(), [artist, "sketch"]
    if rng.random() < 0.38:
        return drawing, words
    drawing, stroke = _strokes(rng, drawing)
    words += stroke
    if mask is not None and rng.random() < 0.6:
        tone, tone_words = tone_layer(rng, grey(photo), mask)
        drawing, words = drawing * tone, [*words, "with", *tone_words]
    if mask is not None and rng.random() < 0.25:
        detail = outlines(grey(photo), rng.uniform(0.5, 1.2), rng.uniform(5, 20))
        drawing, words = drawing * over(detail, mask), [*words, "detailed", "lines"]
    return on_paper(rng, unit(drawing), words, odds=0.3)


def _strokes(rng: np.random.Generator, t: Image) -> Edit:
    q = rng.random()
    if q < 0.20:
        s = rng.uniform(0.4, 0.8)
        return 1 - (1 - t) * s, ["faint" if s < 0.6 else "light", "strokes"]
    if q < 0.40:
        return unit(t / np.percentile(t, 95)) ** np.float32(rng.uniform(1.5, 3)), ["dark", "strokes"]
    if q < 0.55:
        kernel = int(rng.choice([3, 5]))
        return line_weight(t, kernel), ["thick" if kernel == 3 else "bold", "strokes"]
    if q < 0.65:
        return line_weight(t, -2), ["thin", "strokes"]
    if q < 0.75:
        return blur(t, rng.uniform(0.5, 1.1)), ["soft", "strokes"]
    return t, []


def tone_layer(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    """Pencil shading that follows the photo's luminance: hair only, or all of it; smooth, grainy or hatched."""
    strength = rng.uniform(0.15, 1.0)
    base = stretch(blur(g, rng.choice([0.7, 1.2, 2.0, 3.0])))
    words = [level(strength, 0.15, 1, ("faint", "soft", "strong", "full"))]
    if rng.random() < 0.45:
        threshold = rng.uniform(0.2, 0.5)
        tone = 1 - strength * unit((threshold - base) / threshold * rng.uniform(1.2, 3))
        words += ["hair", "tone"]
    else:
        tone = 1 - strength * (1 - base) ** rng.uniform(0.6, 2.2)
        words += ["shading"]
    grain = rng.uniform(0, 0.5)
    if grain > 0.15:
        speckle = unit(0.5 + 0.35 * noise(rng, g.shape, rng.choice([0, 0.5, 0.8])))
        tone = 1 - (1 - tone) * (1 - grain + 2 * grain * speckle)
        words += ["grain"]
    elif rng.random() < 0.35:
        strokes = hatching(rng, unit(tone), rng.uniform(0, np.pi), rng.uniform(2.5, 5), 1.0, 0.3)
        amount = rng.uniform(0.4, 1)
        tone = 1 - (1 - tone) * (1 - amount + amount * 1.6 * (1 - strokes))
        words += ["hatched"]
    return unit(over(tone, mask)), words


def on_paper(rng: np.random.Generator, drawing: Image, words: list[str], odds: float) -> Edit:
    """Ink darkness, paper level and paper texture."""
    ink, paper, extra = rng.uniform(0, 0.12), rng.uniform(0.95, 1), []
    if rng.random() < odds:
        paper = rng.uniform(0.65, 0.95)
        extra += ["gray" if paper > 0.8 else "dark", "paper"]
    elif rng.random() < 0.5:
        extra += ["white", "paper"]
    if rng.random() < 0.7 * odds:
        ink = rng.uniform(0.15, 0.45)
        extra += ["gray", "ink"]
    out = ink + (paper - ink) * drawing
    if rng.random() < 0.6 * odds:
        out = out + noise(rng, drawing.shape, rng.choice([0, 0.6, 1.2])) * rng.uniform(0.01, 0.04)
        extra += ["textured"]
    return unit(out), words + extra


# ── filters: (rng, grey photo, subject mask) → drawing, words ──


def photograph(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    kind = rng.choice(
        ["grayscale", "blurred", "posterised", "contrast", "gamma", "negative"], p=[0.35, 0.15, 0.15, 0.15, 0.15, 0.05]
    )
    if kind == "blurred":
        s = rng.uniform(1, 4)
        return blur(g, s), ["blurred", "photo", level(s, 1, 4, ("faint", "medium", "strong"))]
    if kind == "posterised":
        n = rng.integers(2, 6)
        return np.round(blur(g, 1) * (n - 1)) / (n - 1), ["posterised", "photo"]
    if kind == "contrast":
        c = rng.uniform(0.5, 1.8)
        return unit((g - 0.5) * c + 0.5), ["low" if c < 1 else "high", "contrast", "photo"]
    if kind == "gamma":
        c = rng.uniform(0.5, 1.8)
        return g ** np.float32(c), ["bright" if c < 1 else "dim", "photo"]
    if kind == "negative":
        return 1 - g, ["negative", "photo"]
    return g, ["grayscale", "photo"]


def dodge_pencil(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    s, p = rng.uniform(1, 9), rng.uniform(0.8, 4)
    return dodge(g, s, p), ["dodge", "pencil", "sketch", level(s, 1, 9, WEIGHTS), level(p, 0.8, 4, STRENGTHS)]


def ink_lines(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    s, e, slope = rng.uniform(0.5, 1.9), rng.uniform(0.3, 0.75), rng.uniform(3, 20)
    words = ["ink", "line", "drawing", level(s, 0.5, 1.9, WEIGHTS), level(e, 0.3, 0.75, ("few", "medium", "many"))]
    return xdog(g, s, rng.uniform(6, 22), e, slope), [*words, "soft" if slope < 8 else "crisp"]


def pencil_lines(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    s, gain = rng.uniform(0.5, 1.8), rng.uniform(5, 30)
    words = ["pencil", "line", "drawing", level(s, 0.5, 1.8, WEIGHTS), level(gain, 5, 30, STRENGTHS)]
    return outlines(g, s, gain), words


def hatched(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    tone, spacing = stretch(blur(g, rng.uniform(0.8, 2))), rng.uniform(2.5, 6)
    angle = rng.choice([0, np.pi / 4, np.pi / 2, -np.pi / 4]) + rng.normal(0, 0.1)
    t = hatching(rng, tone, angle, spacing, rng.uniform(0.6, 1.1), rng.uniform(0, 0.3))
    words = ["hatched", "drawing", level(spacing, 2.5, 6, ("fine", "medium", "bold"))]
    if rng.random() < 0.5:
        t, words = t * hatching(rng, unit(1.5 * tone), angle + np.pi / 2, spacing, 1, 0.2), [*words, "cross"]
    if rng.random() < 0.6:
        t, words = t * outlines(g, rng.uniform(0.6, 1.3), rng.uniform(8, 25)), [*words, "lines"]
    return t, words


def charcoal(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    t = xdog(g, rng.uniform(1, 2.2), rng.uniform(5, 12), rng.uniform(0.4, 0.7), rng.uniform(2, 6))
    t = t * (1 - rng.uniform(0.2, 0.8) * (1 - blur(g, 2)))
    grain = rng.uniform(0.1, 0.4)
    t = unit(1 - (1 - t) * (1 + grain * noise(rng, g.shape, 0.6)))
    return t, ["charcoal", "drawing", "strong" if grain > 0.25 else "soft", "grain"]


def dotted(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    if rng.random() < 0.4:
        return halftone(g, rng.uniform(3, 6)), ["halftone"]
    return stipple(rng, g, rng.choice([0.5, 0.8, 1.1])), ["stipple", "drawing"]


def edges(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    b = blur(g, rng.uniform(0.5, 1.5))
    dy, dx = np.gradient(b)
    return 1 - unit(8 * np.hypot(dx, dy) * rng.uniform(0.8, 2.5)), ["edges", "on", "white"]


def edges_on_black(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    return 1 - edges(rng, g, mask)[0], ["edges", "on", "black"]


def lines_and_tone(rng: np.random.Generator, g: Image, mask: Image | None) -> Edit:
    kind, names = rng.random(), WEIGHTS[:4]
    if kind < 0.5:
        s = rng.uniform(0.5, 1.5)
        t, name = outlines(g, s, rng.uniform(8, 28)), level(s, 0.5, 1.5, names)
    elif kind < 0.75:
        s = rng.uniform(0.5, 1.5)
        t, name = xdog(g, s, rng.uniform(8, 20), rng.uniform(0.25, 0.5), rng.uniform(4, 14)), level(s, 0.5, 1.5, names)
    else:
        s = rng.uniform(1, 5)
        t, name = dodge(g, s, rng.uniform(1, 3)), level(s, 1, 5, names)
    tone, words = tone_layer(rng, g, mask)
    return t * tone, ["pencil", "drawing", "with", name, "lines", *words]


FILTERS = {
    photograph: 0.10,
    dodge_pencil: 0.14,
    ink_lines: 0.12,
    pencil_lines: 0.12,
    hatched: 0.09,
    charcoal: 0.08,
    dotted: 0.05,
    edges: 0.03,
    edges_on_black: 0.01,
    lines_and_tone: 0.30,
}

# Ways of saying a caption that do not change the lesson.
OPENINGS = (
    "a",
    "make it a",
    "draw a",
    "turn it into a",
    "convert the image to a",
    "convert the photo into a",
    "convert the image color to black and white",
    "a portrait in the style of a",
)
CLOSINGS = ("of a face", "portrait", "of the photo", "style")


def paraphrase(rng: np.random.Generator, words: str) -> str:
    if rng.random() < 0.5:
        words = words.replace("white background", "with a white background")
    if rng.random() < 0.3:
        words = f"{rng.choice(OPENINGS)} {words}"
    if rng.random() < 0.15:
        words = f"{words} {rng.choice(CLOSINGS)}"
    return words


WORDS = sorted(
    set(
        "photo grayscale negative blurred posterised contrast bright dim low high sketch pencil ink charcoal stipple halftone "
        "edges dodge line lines drawing hatched cross artist first second fine thin medium thick bold light dark faint strong "
        "full soft crisp few many detailed shading hair tone grain white gray black paper textured background strokes on with "
        "a an the of in and to it image color into portrait face style convert draw make turn".split()
    )
)
