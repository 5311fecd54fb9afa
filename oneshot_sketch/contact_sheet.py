"""Rows of pictures with labels, for people who would rather look than read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from oneshot_sketch.errors import InputError

_GAP, _LABEL = 6, 18


def contact_sheet(rows: Mapping[str, Sequence[Image.Image | None]], side: int = 160) -> Image.Image:
    """A white sheet with one labelled row of `side`-pixel tiles for each entry; None leaves a place empty."""
    columns = max((len(tiles) for tiles in rows.values()), default=0)
    if not columns:
        raise InputError("there is nothing to show; give at least one picture.")
    height = side + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, len(rows) * height + _GAP), "white")
    ink = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for r, (label, tiles) in enumerate(rows.items()):
        top = _GAP + r * height
        ink.text((_GAP, top), label, fill="black", font=font)
        for c, tile in enumerate(tiles):
            if tile is not None:
                fitted = ImageOps.pad(tile.convert("RGB"), (side, side), Image.Resampling.LANCZOS, color="white")
                sheet.paste(fitted, (_GAP + c * (side + _GAP), top + _LABEL))
    return sheet
