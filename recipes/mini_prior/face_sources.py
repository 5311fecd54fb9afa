"""Photos and drawings with one face each → arrays with five points a face (step 1 of the embedded face finder).

    python recipes/mini_prior/face_sources.py --data ../shared/data --output runs/face_finder

YuNet is the teacher: its points on a picture and on its mirror image are averaged; pictures with no sure face or with a
hint of a second one are left out. Drawings are FS2K's sketches of styles 0 and 1, and procedural edits of photos, less
those that still look like the photo; the sketches of FS2K style 2 and all of CUFS never enter. Near-duplicate photos, and
drawings of one photo, go to the same side of the split.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from oneshot_sketch.atomic import replacing
from oneshot_sketch.data.near_duplicates import perceptual_hash
from oneshot_sketch.images import open_image

sys.path.append(str(Path(__file__).parents[1] / "mini_backbone"))
import edits

SIDE = 144
TEACHER_SIDE, MARGIN = 320, 0.2
SURE, HINT = 0.75, 0.35
HELD_OUT, LOOKALIKE_BITS = 0.08, 40
SAME_TONES, SAME_DETAILS = 0.9, 0.7  # correlations with a photo from which its edit is no drawing
ORIGINS = ("ffhq", "congress", "utkface", "fs2k", "fs2k sketch", "procedural")
MIRRORED = [1, 0, 2, 4, 3]  # the points' order in a mirror image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/, fs2k/ and weights/yunet")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--edits", type=int, default=4000, help="procedural drawings to make")
    args = parser.parse_args()

    teacher = Teacher(args.data / "weights/yunet/yunet_n_320_320.onnx")
    photos = [(p, o) for p, o in photo_paths(args.data)]
    rows = [labelled(teacher, path) for path, _ in tqdm(photos, desc="photos")]
    origins = [ORIGINS.index(origin) for _, origin in photos]
    groups = lookalikes(photos)
    paths = [path for path, _ in photos]
    where = {path.stem: group for path, group in zip(paths, groups, strict=True)}
    sketches = [row for row in json.loads((args.data / "fs2k/pairs.json").read_text()) if row["style"] in (0, 1)]
    for sketch in tqdm(sketches, desc="sketches"):
        path = next((args.data / "fs2k/sketch").glob(sketch["name"] + ".*"))
        rows.append(labelled(teacher, path))
        origins.append(ORIGINS.index("fs2k sketch"))
        groups = np.append(groups, where[sketch["name"]])
    found = sum(row is not None for row in rows)
    print(f"one face in {found} of {len(rows)} pictures; " + ", ".join(_share(rows, origins, k) for k in range(5)))

    known = [i for i, row in enumerate(rows) if row is not None and origins[i] < 4]
    for i, drawn in procedural(rows, np.random.default_rng(0).permutation(known)[: args.edits]):
        rows.append(drawn)
        origins.append(ORIGINS.index("procedural"))
        groups = np.append(groups, groups[i])

    kept = [i for i, row in enumerate(rows) if row is not None]
    save(args.output, [rows[i] for i in kept], np.array(origins)[kept], split(groups)[kept])


class Teacher:
    """YuNet on a picture enlarged or shrunk to 320 pixels, with a margin, since it misses faces that fill a picture."""

    def __init__(self, model: Path) -> None:
        self.net = cv2.FaceDetectorYN.create(str(model), "", (TEACHER_SIDE, TEACHER_SIDE), HINT)

    def faces(self, bgr: np.ndarray) -> np.ndarray:
        """(N, 11): five points, x and y in pixels with (0, 0) the first pixel's centre, and the score; surest first."""
        border = round(MARGIN * max(bgr.shape[:2]))
        padded = cv2.copyMakeBorder(bgr, *[border] * 4, cv2.BORDER_REPLICATE)
        scale = TEACHER_SIDE / max(padded.shape[:2])
        size = tuple(max(1, round(side * scale)) for side in padded.shape[1::-1])
        small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        self.net.setInputSize(size)
        found = self.net.detect(small)[1]
        if found is None:
            return np.zeros((0, 11))
        points = (found[:, 4:14].reshape(-1, 5, 2) + 0.5) * (np.array(padded.shape[1::-1]) / size) - 0.5 - border
        rows = np.concatenate([points.reshape(-1, 10), found[:, 14:]], axis=1)
        return rows[rows[:, 10].argsort()[::-1]]

    def only_face(self, bgr: np.ndarray) -> np.ndarray | None:
        """(5, 2) points, averaged over the picture and its mirror image; None unless there is one sure face."""
        straight, mirrored = self.faces(bgr), self.faces(np.ascontiguousarray(bgr[:, ::-1]))
        if len(straight) != 1 or len(mirrored) != 1 or min(straight[0, 10], mirrored[0, 10]) < SURE:
            return None
        a, b = (row[0, :10].reshape(5, 2) for row in (straight, mirrored))
        b = np.stack([bgr.shape[1] - 1 - b[:, 0], b[:, 1]], axis=1)[MIRRORED]
        apart = np.linalg.norm(a - b, axis=1).max() / np.ptp(a, axis=0).max()
        return (a + b) / 2 if apart < 0.15 else None


Row = tuple[np.ndarray, tuple[int, int], np.ndarray]
"""A picture (144, 144, 3) uint8 RGB, empty at the right or below; its width and height therein; points (5, 2) float32."""


def photo_paths(data: Path) -> Iterator[tuple[Path, str]]:
    for folder, origin in (("ffhq_128", "ffhq"), ("congress", "congress"), ("utkface", "utkface")):
        for path in sorted((data / "photos" / folder).glob("*.jpg")):
            yield path, origin
    for path in sorted((data / "fs2k/photo").iterdir()):
        yield path, "fs2k"


def labelled(teacher: Teacher, path: Path) -> Row | None:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    points = None if bgr is None else teacher.only_face(bgr)
    return None if points is None else fitted(bgr[..., ::-1], points)


def fitted(rgb: np.ndarray, points: np.ndarray) -> Row:
    scale = SIDE / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[: size[1], : size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    ratio = np.array(size) / rgb.shape[1::-1]
    return square, size, ((points + 0.5) * ratio - 0.5).astype(np.float32)


def procedural(rows: list[Row | None], chosen: np.ndarray) -> Iterator[tuple[int, Row | None]]:
    """A filter over each of the chosen photos; None where a photograph is left."""
    kinds = {kind: odds for kind, odds in edits.FILTERS.items() if kind is not edits.photograph}
    odds = np.array(list(kinds.values())) / sum(kinds.values())
    for i in tqdm(chosen.tolist(), desc="edits"):
        rng, row = np.random.default_rng((1, i)), rows[i]
        assert row is not None
        square, (width, height), points = row
        photo = square[:height, :width].astype(np.float32) / 255
        if rng.random() < 0.25:
            drawing = cartoon(rng, photo)
        else:
            grey = edits.grey(photo)
            if rng.random() < 0.3:
                grey = edits.unit((grey - grey.mean()) * rng.uniform(0.8, 1.4) + rng.uniform(0.4, 0.65))
            kind = list(kinds)[rng.choice(len(kinds), p=odds)]
            drawing, words = kind(rng, grey, None)
            if kind is not edits.edges_on_black:
                drawing, _ = edits.on_paper(rng, edits.unit(drawing), words, odds=0.35)
            drawing = np.repeat(drawing[..., None], 3, axis=2)
        canvas = np.zeros_like(square)
        canvas[:height, :width] = (edits.unit(drawing) * 255).round().astype(np.uint8)
        still_photo = photographic(canvas[:height, :width], square[:height, :width])
        yield i, None if still_photo else (canvas, (width, height), points)


def photographic(drawing: np.ndarray, photo: np.ndarray) -> bool:
    """Whether nobody would call it drawn: the tones of the photo are left in grey, or its details in colours."""
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (drawing, photo))
    if np.ptp(drawing, axis=2).any():
        return alike(cv2.Laplacian(a, cv2.CV_64F), cv2.Laplacian(b, cv2.CV_64F)) > SAME_DETAILS
    return alike(a, b) > SAME_TONES


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Their correlation; 0 if one is flat."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))


def cartoon(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    """Flat colours between ink lines, with or without the lines."""
    flat = photo
    for _ in range(int(rng.integers(2, 5))):
        flat = cv2.bilateralFilter(flat, 7, 0.15, 4)
    levels = rng.integers(3, 7)
    flat = np.floor(flat * levels + rng.uniform(0.2, 0.8)) / levels
    flat = flat.mean(2, keepdims=True) + rng.uniform(0.3, 1.8) * (flat - flat.mean(2, keepdims=True))
    if rng.random() < 0.8:
        flat = flat * edits.outlines(edits.grey(photo), rng.uniform(0.6, 1.4), rng.uniform(12, 35))[..., None]
    return edits.unit(flat)


def lookalikes(photos: list[tuple[Path, str]]) -> np.ndarray:
    """(N,) which photos are near-duplicates: the components of the graph of hashes within 40 of 255 bits."""
    hashes = np.stack([perceptual_hash(open_image(path)) for path, _ in tqdm(photos, desc="hashes")])
    signs = np.where(hashes, 1, -1).astype(np.float32)
    pairs = []
    for start in range(0, len(signs), 1024):
        near = (hashes.shape[1] - signs[start : start + 1024] @ signs.T) / 2 <= LOOKALIKE_BITS
        pairs.append(np.argwhere(near) + np.array([start, 0]))
    links = np.concatenate(pairs)
    graph = coo_array((np.ones(len(links), bool), links.T), shape=(len(signs), len(signs)))
    return connected_components(graph, directed=False)[1]


def split(groups: np.ndarray) -> np.ndarray:
    """Held-out mask: whole groups in a fixed random order, until they hold the share."""
    names, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(0).permutation(len(names))
    enough = np.searchsorted(sizes[order].cumsum(), HELD_OUT * len(groups))
    return np.isin(groups, names[order[: enough + 1]])


def save(output: Path, rows: list[Row], origins: np.ndarray, held_out: np.ndarray) -> None:
    pictures, sizes, points = (np.stack([np.asarray(row[k]) for row in rows]) for k in range(3))
    with replacing(output / "pictures.npy") as part, part.open("wb") as file:
        np.save(file, pictures)
    with replacing(output / "faces.npz") as part, part.open("wb") as file:
        np.savez(file, sizes=sizes, points=points, origins=origins, held_out=held_out)
    for k, origin in enumerate(ORIGINS):
        print(f"{origin}: {(origins == k).sum()}, {held_out[origins == k].sum()} of them held out")


def _share(rows: list[Row | None], origins: list[int], kind: int) -> str:
    of_kind = [row is not None for row, origin in zip(rows, origins, strict=True) if origin == kind]
    return f"{ORIGINS[kind]} {sum(of_kind)} of {len(of_kind)}"


if __name__ == "__main__":
    main()
