"""How well a hand transfers from one pair: every system on photos it never saw (the transfer table).

    python recipes/measure_transfer.py --data ../shared/data --output runs/transfer

Run the same command again to resume. Writes results.jsonl (one line an image), table.md, under strips/ the first
sketches of every system, and two contact sheets a set: with the data's pictures, to look at, and without, to publish.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from oneshot_sketch import (
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.atomic import replacing
from oneshot_sketch.attributes import describe, measure
from oneshot_sketch.errors import InputError
from oneshot_sketch.filters import dodge_and_burn, grey_photo, match_tone, xdog
from oneshot_sketch.images import list_images, open_image, save_png, to_pil, to_tensor
from oneshot_sketch.metrics import SqueezeLpips, ssim, tone_distance

SETS = ("cuhk_student", "ar", "fs2k_2")
BATCH = 10
TWENTY = 20
LOOKALIKE_BITS = 6
STRIP = 12
FILTERS = {"photo as grey": grey_photo, "dodge-and-burn": dodge_and_burn, "XDoG": xdog}
CAPTIONS = (
    "first artist sketch",
    "second artist sketch",
    "first artist sketch with strong hair tone grain white background",
    "second artist sketch with strong shading grain",
    "pencil drawing with thin lines soft shading grain white background",
    "pencil drawing with medium lines strong hair tone white background",
    "dodge pencil sketch medium dark",
    "grayscale photo",
)
SHOWN = {"best text": 0, "learned": 0, f"learned from {TWENTY} pairs": None}  # systems on a contact sheet, after which exemplar
METRICS = {"ssim": "SSIM ↑", "lpips": "LPIPS (SqueezeNet, Caffe weights) ↓", "tone": "tone distance ↓"}

Photos = Sequence[Image.Image]
Row = dict[str, Any]
Key = tuple[str, int | None, str]  # set, exemplar, system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cufs/, fs2k/ and weights/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--backbone", default="mini", help="mini, or any InstructPix2Pix checkpoint")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--photos", type=int, default=50, help="other photos a set")
    parser.add_argument("--exemplars", type=int, default=3, help="pairs a set that are each learned from alone")
    parser.add_argument("--size", type=int, default=128, help="side of the square pictures, pixels")
    parser.add_argument("--steps", type=int, help="sampling steps, if not the backbone's own default")
    parser.add_argument("--quick", action="store_true", help="one exemplar and eight photos")
    args = parser.parse_args()
    if args.quick:
        args.exemplars, args.photos = 1, 8
    try:
        run(args)
    except InputError as error:
        parser.error(str(error))


def run(args: argparse.Namespace) -> None:
    settings = {name: getattr(args, name) for name in ("backbone", "photos", "exemplars", "size", "steps")}
    results = Results(args.output, settings, Judge(args.data / "weights"))
    pipe = OneShotSketchPipeline.from_pretrained(args.backbone)
    pipe.set_progress_bar_config(disable=True)
    systems: dict[str, list[str]] = {}
    for name in args.sets:
        split = choose(load_set(args.data, name, args.size), args.exemplars, args.photos)
        systems[name] = measure_set(name, split, results, pipe, args.backbone, args.steps)
        drawn = {title: open_image(results.strip_path((name, k, title))) for title, k in SHOWN.items()}
        shown = split.others[:STRIP]
        given = {"photo": strip([p.photo for p in shown]), "artist": strip([p.sketch for p in shown])}
        save_png(contact_sheet(given | drawn), args.output / f"{name}.png")
        save_png(contact_sheet(drawn), args.output / f"{name}.drawn.png")
        with replacing(args.output / "table.md") as part:
            part.write_text(table(results, systems))
    print((args.output / "table.md").read_text())


# ── what is drawn ──


def measure_set(
    name: str, split: Split, results: Results, pipe: OneShotSketchPipeline, backbone: str, steps: int | None
) -> list[str]:
    """Every system's sketches of the other photos into `results`; the systems' names in the table's order."""

    def say(prompt: str) -> Callable[[Photos], Photos]:
        return lambda photos: sketch(pipe, photos, steps, prompt=prompt)

    @cache
    def instruction(k: int | None, edit_loss: bool = True) -> LearnedInstruction:
        return learn(backbone, split.twenty if k is None else [split.exemplars[k]], edit_loss)

    def obey(k: int | None, edit_loss: bool = True, text: str | None = None) -> Callable[[Photos], Photos]:
        return lambda photos: sketch(pipe, photos, steps, instruction=instruction(k, edit_loss), text=text)

    for caption in tqdm(CAPTIONS, desc=f"{name}: captions"):
        results.add(Job(name, None, f"text: {caption}", say(caption), caption), [*split.others, *split.exemplars])
    jobs = [Job(name, None, title, filtered(draw)) for title, draw in FILTERS.items()]
    for k, pair in enumerate(split.exemplars):
        jobs += [Job(name, k, f"{title}, tone matched", filtered(draw, pair)) for title, draw in FILTERS.items()]
    hindsight = results.best_caption(name, split.others)
    jobs.append(Job(name, None, "best text in hindsight", say(hindsight), hindsight))
    for k, pair in enumerate(split.exemplars):
        best = results.best_caption(name, [pair])
        look = describe(measure(to_tensor(pair.sketch), to_tensor(pair.photo))[0])
        jobs += [
            Job(name, k, "best text", say(best), best),
            Job(name, k, "best text + measured attributes", say(f"{best} {look}"), f"{best} {look}"),
            Job(name, k, "learned", obey(k)),
            Job(name, k, "learned without edit loss", obey(k, edit_loss=False)),
            Job(name, k, 'learned + "white background"', obey(k, text="white background"), "white background"),
        ]
    jobs.append(Job(name, None, f"learned from {TWENTY} pairs", obey(None)))
    for job in tqdm(jobs, desc=f"{name}: systems"):
        results.add(job, split.others)
    return list(dict.fromkeys(job.system for job in jobs))


def learn(backbone: str, pairs: Sequence[PhotoSketchPair], edit_loss: bool) -> LearnedInstruction:
    config = InstructionLearnerConfig(seed=0) if edit_loss else InstructionLearnerConfig(seed=0, edit_weight=0.0)
    return InstructionLearner.from_pretrained(backbone, config).learn(list(pairs))


def sketch(
    pipe: OneShotSketchPipeline,
    photos: Photos,
    steps: int | None,
    prompt: str | None = None,
    instruction: LearnedInstruction | None = None,
    text: str | None = None,
) -> Photos:
    """Sketches by plain words (`prompt`), or by an instruction with optional `text`; every photo from the same noise."""
    words = {"prompt": prompt} if instruction is None else {"text": text}
    if instruction is not None:
        pipe.load_instruction(instruction, name="transfer")
    sketches: list[Image.Image] = []
    for start in range(0, len(photos), BATCH):
        batch = list(photos[start : start + BATCH])
        generators = [torch.Generator().manual_seed(0) for _ in batch]
        sketches += pipe(image=batch, num_inference_steps=steps, generator=generators, **words).images
    if instruction is not None:
        pipe.unload_instruction()
    return sketches


def filtered(draw: Callable[[torch.Tensor], torch.Tensor], exemplar: PhotoSketchPair | None = None) -> Callable[[Photos], Photos]:
    """A filter over pictures, its tones matched to the exemplar's sketch if there is one."""

    def apply(photos: Photos) -> Photos:
        drawn = draw(to_tensor(photos))
        return to_pil(drawn if exemplar is None else match_tone(drawn, to_tensor(exemplar.sketch)))

    return apply


# ── on which pairs ──


@dataclass(frozen=True)
class Split:
    """`exemplars` are the first of the `twenty` pairs that may be learned from; `others` are near none of these."""

    exemplars: list[PhotoSketchPair]
    twenty: list[PhotoSketchPair]
    others: list[PhotoSketchPair]


def choose(pairs: Sequence[PhotoSketchPair], exemplars: int, photos: int) -> Split:
    """The same random choice every time; more exemplars or photos only add to it."""
    order = np.random.default_rng(0).permutation(len(pairs)).tolist()
    hashes = [difference_hash(pair.photo) for pair in pairs]
    twenty, rest = order[:TWENTY], order[TWENTY:]
    free = [i for i in rest if all((hashes[i] != hashes[j]).sum() > LOOKALIKE_BITS for j in twenty)]
    if not 1 <= exemplars <= TWENTY or not 1 <= photos <= len(free):
        raise InputError(f"there are at most {TWENTY} exemplars and {len(free)} other photos here; ask for fewer.")
    return Split(
        exemplars=[pairs[i] for i in twenty[:exemplars]],
        twenty=[pairs[i] for i in twenty],
        others=[pairs[i] for i in sorted(free[:photos])],
    )


def difference_hash(photo: Image.Image) -> np.ndarray:
    """(8, 8) bool: where an 8-row thumbnail brightens from left to right."""
    return np.diff(np.asarray(photo.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16), axis=1) > 0


def load_set(data: Path, name: str, size: int) -> list[PhotoSketchPair]:
    """All pairs of a set in the order of their names, cropped to the face's square, `size` pixels a side."""
    folder = data / "fs2k" if name == "fs2k_2" else data / "cufs" / name
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; give the folder that holds cufs/ and fs2k/ as --data.")
    photos, sketches = ({path.stem: path for path in list_images(folder / kind)} for kind in ("photo", "sketch"))
    stems = sorted(photos)
    if name == "fs2k_2":
        stems = sorted(row["name"] for row in json.loads((folder / "pairs.json").read_text()) if row["style"] == 2)
    window = fs2k_window if name == "fs2k_2" else cufs_window
    pairs = []
    for stem in tqdm(stems, desc=f"{name}: pairs"):
        photo, drawn = (
            image.resize((size, size), Image.Resampling.LANCZOS, box=window(*image.size))
            for image in (open_image(photos[stem]), open_image(sketches[stem]))
        )
        pairs.append(PhotoSketchPair(photo, drawn, stem))
    return pairs


def cufs_window(width: int, height: int) -> tuple[int, int, int, int]:
    """Hair to chin of the aligned 200×250 frame; the black corners left by the alignment fall outside."""
    if (width, height) != (200, 250):
        raise InputError(f"a CUFS picture is 200×250 pixels, not {width}×{height}; give the aligned release.")
    return 12, 44, 188, 220


def fs2k_window(width: int, height: int) -> tuple[int, int, int, int]:
    """The centred square of a landscape frame; of a portrait frame, full width from 15 % below the top."""
    side = min(width, height)
    left, top = (width - side) // 2, round(0.15 * height) if height > width else 0
    return left, top, left + side, top + side


# ── how it is judged and kept ──


@dataclass(frozen=True)
class Job:
    """One system on one set, after one exemplar or (None) without."""

    set: str
    exemplar: int | None
    system: str
    draw: Callable[[Photos], Photos]
    caption: str | None = None

    @property
    def key(self) -> Key:
        return self.set, self.exemplar, self.system


class Judge:
    """Three numbers for each sketch, against the artist's own."""

    def __init__(self, weights: Path) -> None:
        squeezenet = weights / "squeezenet1_1/squeezenet1_1_caffe_fp16_torchvision_names.pth"
        self.lpips = SqueezeLpips.from_files(squeezenet, weights / "lpips/squeeze_v0.1.pth")

    @torch.no_grad()
    def __call__(self, sketches: Photos, pairs: Sequence[PhotoSketchPair]) -> list[dict[str, float]]:
        rows = []
        for start in range(0, len(pairs), BATCH):
            part = slice(start, start + BATCH)
            drawn, truth = to_tensor(sketches[part]), to_tensor([pair.sketch for pair in pairs[part]])
            values = torch.stack([ssim(drawn, truth), self.lpips(drawn, truth), tone_distance(drawn, truth)], 1)
            rows += [{name: round(value, 5) for name, value in zip(METRICS, row, strict=True)} for row in values.tolist()]
        return rows


class Results:
    """results.jsonl, replaced whole after every job, so a job is in it completely or not at all."""

    def __init__(self, folder: Path, settings: dict[str, Any], judge: Judge) -> None:
        self.folder, self.judge = folder, judge
        self.rows: dict[Key, list[Row]] = {}
        record, lines = folder / "settings.json", folder / "results.jsonl"
        if record.is_file() and json.loads(record.read_text()) != settings:
            raise InputError(f"{folder} holds a measurement with other settings; choose another --output.")
        with replacing(record) as part:
            part.write_text(json.dumps(settings, indent=2))
        for line in lines.read_text().splitlines() if lines.is_file() else ():
            row = json.loads(line)
            self.rows.setdefault((row["set"], row["exemplar"], row["system"]), []).append(row)

    def add(self, job: Job, pairs: Sequence[PhotoSketchPair]) -> None:
        """Draw, judge and keep a job, unless it is kept already."""
        if job.key in self.rows:
            return
        sketches = job.draw([pair.photo for pair in pairs])
        save_png(strip(sketches[:STRIP]), self.strip_path(job.key))
        head = {"set": job.set, "exemplar": job.exemplar, "system": job.system, "caption": job.caption}
        values = self.judge(sketches, pairs)
        self.rows[job.key] = [{**head, "photo": pair.name, **row} for pair, row in zip(pairs, values, strict=True)]
        with replacing(self.folder / "results.jsonl") as part:
            part.write_text("".join(json.dumps(row) + "\n" for rows in self.rows.values() for row in rows))

    def best_caption(self, name: str, pairs: Sequence[PhotoSketchPair]) -> str:
        """The caption with the lowest mean LPIPS on these pairs."""
        names = {pair.name for pair in pairs}
        return min(
            CAPTIONS, key=lambda c: mean(row["lpips"] for row in self.rows[name, None, f"text: {c}"] if row["photo"] in names)
        )

    def of_system(self, name: str, system: str) -> list[Row]:
        return [row for (set_, _, title), rows in self.rows.items() if (set_, title) == (name, system) for row in rows]

    def strip_path(self, key: Key) -> Path:
        name, exemplar, system = key
        slug = re.sub(r"[^a-z0-9]+", "-", system.lower()).strip("-")
        return self.folder / "strips" / name / f"{slug}{'' if exemplar is None else f'.{exemplar}'}.png"


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


# ── how it is shown ──


def table(results: Results, systems: dict[str, list[str]]) -> str:
    """A Markdown table a set: mean ± standard deviation over images and exemplars."""
    parts = ["Mean ± standard deviation over images × exemplars.\n"]
    for name, titles in systems.items():
        parts += [f"\n## {name}\n", f"| system | {' | '.join(METRICS.values())} | sketches |", "|---" * (len(METRICS) + 2) + "|"]
        for title in titles:
            rows = results.of_system(name, title)
            cells = [f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in ([row[m] for row in rows] for m in METRICS)]
            parts.append(f"| {title} | {' | '.join(cells)} | {len(rows)} |")
        parts.append("")
        for title in ("best text", "best text in hindsight"):
            captions = dict.fromkeys(row["caption"] for row in results.of_system(name, title))
            parts.append(f"- {title}: {'; '.join(f'“{caption}”' for caption in captions)}")
    return "\n".join(parts) + "\n"


def contact_sheet(rows: dict[str, Image.Image]) -> Image.Image:
    """Strips below each other with their names in the margin."""
    width, height = next(iter(rows.values())).size
    margin = 160
    sheet = Image.new("RGB", (margin + width, height * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for i, (label, row) in enumerate(rows.items()):
        sheet.paste(row, (margin, i * height))
        pen.text((8, (i + 0.5) * height), label, "black", font, anchor="lm")
    return sheet


def strip(images: Photos) -> Image.Image:
    """Pictures of one size side by side."""
    width, height = images[0].size
    row = Image.new("RGB", (width * len(images), height))
    for i, image in enumerate(images):
        row.paste(image, (i * width, 0))
    return row


if __name__ == "__main__":
    main()
