"""What the embedded face finder is worth (step 3): the tables of docs/systems/face_finder.md.

    python recipes/mini_prior/measure_face_finder.py --data ../shared/data --sources runs/face_finder --output runs/measured

Truth is YuNet's answer wherever nobody marked one. Sheets of pictures with what was found are written beside the numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage
from backgrounds import FACELESS
from face_scenes import Scenes, Sources, reach
from face_sources import ORIGINS, Teacher
from PIL import Image, ImageDraw, ImageOps

from oneshot_sketch.data import YuNet
from oneshot_sketch.errors import InputError
from oneshot_sketch.face_finder import EmbeddedFaceFinder, Face, the_face, yaw
from oneshot_sketch.images import list_images, open_image, save_png

UNUSED = ("chelsea.png", "coffee.png", "clock_motion.png", "color.png", "horse.png", "moon.png", "logo.png", "microaneurysms.png")
YUNET = "weights/yunet/yunet_n_320_320.onnx"
PHOTOGRAPHED = (*ORIGINS[:4], "cufs cuhk_student photo", "cufs ar photo")
LEVELS = (0.3, 0.5, 0.7, 0.9)
Row = tuple[str, Image.Image, np.ndarray | None]
"""A name, a picture, and the true points, if known."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sources", type=Path, required=True, help="folder that face_sources.py wrote")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--finder", default="mini", help='"mini" or a folder')
    args = parser.parse_args()
    cv2.setNumThreads(1)

    finder = EmbeddedFaceFinder.from_pretrained(args.finder)
    teacher = Teacher(args.data / YUNET)
    held_out = Sources.read(args.sources, held_out=True)
    yunet = YuNet(args.data / YUNET)
    results: dict[str, Any] = {}

    yaws: list[tuple[float, float]] = []
    for name, rows in portraits(args.data, held_out, teacher).items():
        found = [finder.find(picture) for _, picture, _ in rows]
        results[name] = measured(rows, found, yaws if name in PHOTOGRAPHED else [])
        if name in PHOTOGRAPHED or name.startswith("cufs"):
            results[name]["yunet_error"] = yunet_error(rows, yunet)
        sheet(args.output / f"{name.replace(' ', '_')}.png", rows, found)
        print(name, json.dumps(results[name]), flush=True)
    results["yaw"] = turned(np.array(yaws))
    print("yaw", json.dumps(results["yaw"]), flush=True)

    for name, pictures in faceless(held_out).items():
        rows = [(str(i), picture, None) for i, picture in enumerate(pictures)]
        found = [finder.find(picture) for picture in pictures]
        wrong = [i for i, faces in enumerate(found) if faces]
        results[name] = {"pictures": len(rows), "false_alarms": len(wrong)}
        sheet(args.output / f"{name.replace(' ', '_')}.png", [rows[i] for i in wrong], [found[i] for i in wrong])
        print(name, json.dumps(results[name]), flush=True)

    rows = composed(held_out)
    found = [finder.find(picture) for _, picture, _ in rows]
    results["two faces"] = {"pictures": len(rows), "found_two": sum(len(f) == 2 for f in found)} | answers(found)
    sheet(args.output / "two_faces.png", rows, found)
    print("two faces", json.dumps(results["two faces"]), flush=True)

    results["milliseconds"] = {f"{side} px": milliseconds(finder, args.data, side) for side in (128, 512, 4000)}
    print("milliseconds", json.dumps(results["milliseconds"]))
    (args.output / "measured.json").write_text(json.dumps(results, indent=1) + "\n")


def portraits(data: Path, held_out: Sources, teacher: Teacher) -> dict[str, list[Row]]:
    """Pictures with one face: the held-out sources, and hands and studios never trained on."""
    rows: dict[str, list[Row]] = {}
    for k, origin in enumerate(ORIGINS):
        rows[origin] = [
            (str(i), Image.fromarray(held_out.pictures[i, : held_out.sizes[i, 1], : held_out.sizes[i, 0]]), held_out.points[i])
            for i in np.flatnonzero(held_out.origins == k).tolist()
        ]
    photos = [row for origin in ORIGINS[:4] for row in rows[origin]]
    rows["photos in grey"] = [(name, picture.convert("L"), points) for name, picture, points in photos]
    rows["photos in sepia"] = [
        (name, ImageOps.colorize(picture.convert("L"), "#1e0f05", "#f5e1b9"), points) for name, picture, points in photos
    ]
    for studio in ("cuhk_student", "ar"):
        for kind in ("photo", "sketch"):
            rows[f"cufs {studio} {kind}"] = [taught(path, teacher) for path in list_images(data / "cufs" / studio / kind)]
    style_2 = [pair["name"] for pair in json.loads((data / "fs2k/pairs.json").read_text()) if pair["style"] == 2]
    paths = [path for path in list_images(data / "fs2k/sketch") if path.stem in set(style_2)]
    rows["fs2k sketch style 2"] = [taught(path, teacher) for path in paths]
    return rows


def taught(path: Path, teacher: Teacher) -> Row:
    picture = open_image(path)
    return path.stem, picture, teacher.only_face(np.asarray(picture)[..., ::-1])


def measured(rows: Sequence[Row], found: list[list[Face]], yaws: list[tuple[float, float]]) -> dict[str, Any]:
    """Found: an answer within half a distance of the eyes. Error: mean over the five points, in per cent of that distance."""
    errors, drawn, missed, extra = [], [], 0, 0
    for (_, _, points), faces in zip(rows, found, strict=True):
        extra += max(len(faces) - 1, 0)
        if points is None:
            continue
        apart = np.array([np.linalg.norm(face.points - points, axis=1).mean() for face in faces])
        eyes = np.linalg.norm(points[1] - points[0])
        if not len(apart) or apart.min() > 0.5 * eyes:
            missed += 1
            continue
        face = faces[int(apart.argmin())]
        errors.append(100 * apart.min() / eyes)
        drawn.append(face.drawn)
        yaws.append((yaw(points), face.yaw))
    known = len(errors) + missed
    return {"pictures": len(rows), "with_truth": known, "recall": round(len(errors) / max(known, 1), 4), "extra": extra} | {
        "error_mean": round(float(np.mean(errors)), 2),
        "error_median": round(float(np.median(errors)), 2),
        "error_p95": round(float(np.percentile(errors, 95)), 2),
        "drawn_above": {str(level): round(float(np.mean(np.array(drawn) > level)), 4) for level in LEVELS},
        **answers(found),
    }


def yunet_error(rows: Sequence[Row], yunet: YuNet) -> float:
    """The same error of YuNet's answer to the bare picture, against its average over mirror images that is taken as truth."""
    errors = []
    for _, picture, points in rows:
        if points is not None:
            try:
                answer = yunet(picture)
            except InputError:
                continue
            errors.append(100 * np.linalg.norm(answer - points, axis=1).mean() / np.linalg.norm(points[1] - points[0]))
    return round(float(np.mean(errors)), 2)


def answers(found: list[list[Face]]) -> dict[str, float]:
    """How often `the_face` accepts, and for what it refuses."""
    counts = dict.fromkeys(("accepted", "no face", "faces of like size", "drawn", "turned"), 0)
    for faces in found:
        try:
            the_face(faces)
            counts["accepted"] += 1
        except InputError as error:
            counts[next(key for key in counts if key in str(error))] += 1
    return {key: value for key, value in counts.items() if value}


def turned(yaws: np.ndarray) -> dict[str, object]:
    """Teacher's yaw against ours over all photos, and who is refused at 40° where the teacher sees less or more."""
    truth, ours = np.abs(yaws).T
    error = np.abs(yaws[:, 0] - yaws[:, 1])
    table: dict[str, object] = {"mean_error": round(float(error.mean()), 2)}
    for low, high in ((0, 20), (20, 30), (30, 40), (40, 90)):
        here = (truth >= low) & (truth < high)
        table[f"{low}-{high}"] = {"photos": int(here.sum()), "refused": int((ours[here] > 40).sum())} | (
            {"mean_error": round(float(error[here].mean()), 2)} if here.any() else {}
        )
    return table


def faceless(held_out: Sources) -> dict[str, list[Image.Image]]:
    """Textures and remains of unseen portraits; windows of photographs never trained on; crops that hold no face."""
    folder = Path(skimage.__file__).parent / "data"
    assert not set(UNUSED) & set(FACELESS)
    rng = np.random.default_rng(7)
    backgrounds = Scenes(held_out).backgrounds
    drawn = [Image.fromarray(backgrounds.draw(rng)) for _ in range(500)]
    windows = []
    for name in UNUSED:
        picture = open_image(folder / name)
        windows.append(picture)
        for _ in range(40):
            side = int(rng.uniform(0.15, 0.9) * min(picture.size))
            left, top = (int(rng.integers(0, n - side + 1)) for n in picture.size)
            windows.append(picture.crop((left, top, left + side, top + side)).resize((200, 200), Image.Resampling.BICUBIC))
    crops = [Image.fromarray((crop * 255).astype(np.uint8)) for crop in np.load(folder / "lfw_subset.npy")[100:]]
    return {"backgrounds": drawn, "unseen photographs": windows, "crops beside faces": crops}


def composed(held_out: Sources, count: int = 300) -> list[Row]:
    """Two held-out pictures side by side or one above the other, the second's face 0.75 to 1.3 times as large as the first's."""
    rng = np.random.default_rng(8)
    photos = np.flatnonzero(held_out.origins < 4)
    rows: list[Row] = []
    for n in range(count):
        pictures = []
        chosen = rng.choice(photos, 2, replace=False)
        first, second = reach(held_out.points[chosen])
        for i, scale in zip(chosen, (1.0, first / second * np.exp(rng.uniform(np.log(0.75), np.log(1.3)))), strict=True):
            width, height = held_out.sizes[i]
            picture = Image.fromarray(held_out.pictures[i, :height, :width])
            pictures.append(picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC))
        if rng.random() < 0.5:
            canvas = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)))
            canvas.paste(pictures[1], (pictures[0].width, 0))
        else:
            canvas = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)))
            canvas.paste(pictures[1], (0, pictures[0].height))
        canvas.paste(pictures[0])
        rows.append((str(n), canvas, None))
    return rows


def milliseconds(finder: EmbeddedFaceFinder, data: Path, side: int) -> float:
    """Median of ten, of processor time, for a photo with one face and `side` pixels on its longer side."""
    photo = open_image(list_images(data / "photos/congress")[0])
    photo = photo.resize((round(photo.width * side / photo.height), side), Image.Resampling.BICUBIC)
    return round(1000 * float(np.median([_clocked(lambda: finder.find(photo)) for _ in range(10)])), 1)


def _clocked(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def sheet(
    path: Path, rows: Sequence[Row], found: Sequence[list[Face]], columns: int = 12, most: int = 96, side: int = 150
) -> None:
    """Pictures with the points found (green photographed, red drawn), YuNet's in blue below, and score and yaw."""
    rows, found = rows[:most], found[:most]
    canvas = Image.new("RGB", (columns * side, max(1, -(-len(rows) // columns)) * side))
    for n, ((_, picture, truth), faces) in enumerate(zip(rows, found, strict=True)):
        scale = side / max(picture.size)
        tile = picture.convert("RGB").resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
        draw = ImageDraw.Draw(tile)
        for points, colour, radius in [(truth, "blue", 3)] * (truth is not None) + [
            (face.points, "red" if face.drawn > 0.5 else "lime", 2) for face in faces
        ]:
            for x, y in (np.asarray(points) + 0.5) * scale:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        draw.text((2, 2), " ".join(f"{face.score:.2f}/{face.yaw:.0f}" for face in faces), fill="yellow")
        canvas.paste(tile, (n % columns * side, n // columns * side))
    save_png(canvas, path)


if __name__ == "__main__":
    main()
