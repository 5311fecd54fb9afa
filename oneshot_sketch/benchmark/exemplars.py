"""Which pairs are learned from and which are judged: the same choice every time."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from oneshot_sketch.benchmark.protocol import Part, Protocol
from oneshot_sketch.data import high_contrast_grey, load_pairs
from oneshot_sketch.data.near_duplicates import perceptual_hash
from oneshot_sketch.data.rows import to_pair, undecoded
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_pil, to_tensor
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.partial_sketches import incomplete, noise_strokes


@dataclass(frozen=True)
class Chosen:
    """`reserved` pairs may be learned from; `others`, none of which looks like one of these, are judged.

    `identities` are who the others show, one each; their names are unique. `given` are their sides that systems see, `truths`
    the sides to be made.
    """

    reserved: list[PhotoSketchPair]
    others: list[PhotoSketchPair]
    identities: list[str]
    given: list[Image.Image]
    truths: list[Image.Image]

    def exemplar(self, k: int, pairs: int) -> list[PhotoSketchPair]:
        """The k-th choice of `pairs` pairs to learn from."""
        return self.reserved[k : k + pairs]


def choose(protocol: Protocol, part: Part, data: Path) -> Chosen:
    """Pairs of a part, cropped and resized; more exemplars or photos only add to a choice.

    Raises:
        InputError: the data are absent or damaged, or too few.
    """
    rows = undecoded(load_pairs(part.data, data / part.folder))
    for column, value in part.where.items():
        if column not in rows.column_names:
            raise InputError(f"{part.title}: the data have no column {column!r}; there are {', '.join(rows.column_names)}.")
        rows = rows.filter(lambda found, wanted=value: found == wanted, input_columns=column)
    order = np.random.default_rng(protocol.seed).permutation(len(rows)).tolist()
    splits = rows["split"]
    train = [i for i in order if protocol.split == "any" or splits[i] == "train"]
    reserved, rest = train[: protocol.reserved], train[protocol.reserved :]
    candidates = rest if protocol.split == "any" else [i for i in order if splits[i] == "test"]
    wanted = protocol.photos or len(candidates)
    if len(reserved) < protocol.reserved or not candidates:
        raise InputError(f"{part.title} has {len(train)} pairs to learn from and {len(candidates)} to draw; that is too few.")

    pairs = {i: prepared(to_pair(rows[i], rows.info.license or None), protocol, part) for i in (*reserved, *candidates)}
    hashes = {i: perceptual_hash(pair.photo) for i, pair in pairs.items()}
    free = [i for i in candidates if all((hashes[i] != hashes[j]).sum() > protocol.lookalike_bits for j in reserved)]
    if len(free) < min(wanted, len(candidates)) and protocol.photos:
        raise InputError(f"{part.title} has only {len(free)} photos unlike those learned from; ask for fewer than {wanted}.")
    drawn = sorted(free[:wanted])
    people = [pairs[i].name for i in drawn]
    others = [
        replace(pairs[i], name=name if people.count(name) == 1 else f"{name}, {pairs[i].style or i}")
        for i, name in zip(drawn, people, strict=True)
    ]
    photos, sketches = [pair.photo for pair in others], [pair.sketch for pair in others]
    if protocol.direction == "photo-to-sketch":
        return Chosen([pairs[i] for i in reserved], others, people, photos, sketches)
    return Chosen([pairs[i] for i in reserved], others, people, [_spoiled(pair, protocol, part) for pair in others], photos)


def _spoiled(pair: PhotoSketchPair, protocol: Protocol, part: Part) -> Image.Image:
    """The sketch as far as the part's completion, with its noise; the draw is the pair's own."""
    if part.whole:
        return pair.sketch
    draw = torch.Generator().manual_seed(zlib.crc32(f"{protocol.seed} {pair.name}".encode()))
    left = incomplete(to_tensor(pair.sketch), part.completion, draw)
    return to_pil(noise_strokes(left, part.noise, draw))[0]


def prepared(pair: PhotoSketchPair, protocol: Protocol, part: Part) -> PhotoSketchPair:
    """Cropped to the part's square, `size` pixels a side, the sketch in high contrast if the protocol wants it."""
    photo, sketch = (part.crop.cut(side, protocol.size) for side in (pair.photo, pair.sketch))
    sketch = high_contrast_grey(sketch) if protocol.contrast else sketch
    return PhotoSketchPair(photo, sketch, pair.name, pair.style, pair.licence)
