"""What `learn` and `quickstart` share: learn, draw the pair again as a preview, save."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from oneshot_sketch.attributes import ATTRIBUTES, drift
from oneshot_sketch.backbone import FrozenInstructPix2Pix
from oneshot_sketch.contact_sheet import contact_sheet
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import list_images, open_image, save_png, square, to_tensor
from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.instruction import InstructionLearner, LearningState
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.pipelines.loading import load_backbone
from oneshot_sketch.pipelines.one_shot_sketch import OneShotSketchPipeline

TONES = ("paper", "ink", "blacks", "midtones", "tone", "background")
SIDE = 128
DRIFT = 1.6  # mean of so many levels; see docs/benchmarks.md


def open_pairs(photos: Sequence[Path], sketches: Sequence[Path], style: str | None, licence: str | None) -> list[PhotoSketchPair]:
    pairs = []
    for photo, sketch in zip(photos, sketches, strict=True):
        try:
            pairs.append(PhotoSketchPair.open(photo, sketch, style=style, licence=licence))
        except InputError as error:
            raise (
                error if str(photo) in str(error) or str(sketch) in str(error) else InputError(f"{photo}, {sketch}: {error}")
            ) from None
    return pairs


def learn_and_save(
    pairs: list[PhotoSketchPair],
    config: InstructionLearnerConfig,
    backbone: str,
    output: Path,
    *,
    device: str | None = None,
    preview_steps: int = 0,
) -> OneShotSketchPipeline:
    """Learn to `output`, through a checkpoint folder beside it that is gone at the end; returns the loaded pipeline."""
    pipe = load_backbone(backbone, device)
    learner = InstructionLearner(FrozenInstructPix2Pix.from_pipeline(pipe, backbone), config)
    checkpoint = output.with_name(f"{output.name}.checkpoint")

    def draw(state: LearningState) -> None:
        if preview_steps and state.step % preview_steps == 0:
            path = output.with_name(f"{output.name}.previews") / f"step_{state.step:06d}.png"
            pipe.load_instruction(state.instruction())
            save_png(preview(pipe, pairs), path)
            pipe.unload_instruction()

    start = time.monotonic()
    instruction = learner.learn(pairs, checkpoint=checkpoint, callback=draw)
    seconds = time.monotonic() - start
    pipe.load_instruction(instruction, name=output.name)
    photos = [open_image(path) for path in list_images(bundled_pictures() / "photos")[:4]]
    drawn = [pipe(image=photo, generator=torch.Generator().manual_seed(0)).images[0] for photo in photos]
    strip = contact_sheet({"photo": photos, "learned": drawn})
    instruction.save_pretrained(output, preview=preview(pipe, pairs), sketches=strip)
    shutil.rmtree(checkpoint, ignore_errors=True)
    losses = instruction.record.losses
    print(
        f"Learned in {seconds:.0f} s: reconstruction {losses['reconstruction at the start']:.4f} → "
        f"{losses['reconstruction kept']:.4f}, edit cosine {losses['edit_cosine at the start']:+.3f} → "
        f"{losses['edit_cosine kept']:+.3f}. Saved in {output}"
    )
    if found := warning(look_drift(pairs, photos, drawn)):
        print(found, file=sys.stderr)
    return pipe


def preview(pipe: OneShotSketchPipeline, pairs: Sequence[PhotoSketchPair]) -> Image.Image:
    """Photo, the artist's sketch and ours, for up to four pairs."""
    shown = pairs[:4]
    drawn = [pipe(image=pair.photo, generator=torch.Generator().manual_seed(0)).images[0] for pair in shown]
    return contact_sheet({"photo": [p.photo for p in shown], "artist": [p.sketch for p in shown], "learned": drawn})


def look_drift(pairs: Sequence[PhotoSketchPair], photos: Sequence[Image.Image], drawn: Sequence[Image.Image]) -> dict[str, float]:
    """How light and dark the drawings of other photos are, less what the pairs are: levels of 9 by attribute."""
    seen = (drawn, photos, [pair.sketch for pair in pairs], [pair.photo for pair in pairs])
    levels = drift(*(torch.cat([to_tensor(square(image, SIDE)) for image in images]) for images in seen)).tolist()
    return {name: level for name, level in zip(ATTRIBUTES, levels, strict=True) if name in TONES}


def warning(drifts: Mapping[str, float]) -> str | None:
    """A sentence if the look of the pair does not carry over to other photos."""
    if sum(map(abs, drifts.values())) / len(drifts) < DRIFT:
        return None
    name = max(drifts, key=lambda name: abs(drifts[name]))
    return (
        f"On other photos its look differs from that of the pair: {abs(drifts[name]):.1f} of 9 levels "
        f"{'more' if drifts[name] > 0 else 'less'} {name}. The pair may be unusual for its hand; try another, or give a few "
        "with more --photo and --sketch."
    )


def bundled_pictures() -> Path:
    """Folder of the quickstart's pair and photos: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parents[1]
    for folder in (package / "assets" / "quickstart", package.parent / "assets" / "quickstart"):
        if folder.is_dir():
            return folder
    raise InputError("the quickstart's pictures are missing from this installation; install oneshot-sketch again.")
