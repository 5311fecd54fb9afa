"""`oneshot-sketch quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def quickstart(
    output: Annotated[Path, typer.Option(help="Folder for the instruction, the sketches and the contact sheet.")] = Path(
        "quickstart"
    ),
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Learn from the bundled pair, sketch the bundled photos, and lay everything out on one sheet."""
    import torch
    from tqdm import tqdm

    from oneshot_sketch.cli.learning import bundled_pictures, learn_and_save, open_pairs
    from oneshot_sketch.contact_sheet import contact_sheet
    from oneshot_sketch.images import list_images, open_image, save_png
    from oneshot_sketch.learners.config import InstructionLearnerConfig

    assets = bundled_pictures()
    pairs = open_pairs([assets / "pair_photo.jpg"], [assets / "pair_sketch.png"], "flow pencil", "CC0-1.0")
    pipe = learn_and_save(pairs, InstructionLearnerConfig(seed=seed), "mini", output / "instruction")
    photos, sketches = [], []
    for path in tqdm(list_images(assets / "photos"), desc="sketching", unit="photo"):
        photos.append(open_image(path))
        drawn = pipe(image=photos[-1], generator=torch.Generator().manual_seed(seed))
        drawn.save(output / f"{path.stem}.png")
        sketches.append(drawn.images[0])
    sheet = output / "contact_sheet.png"
    rows = {
        "the pair: one photo, one sketch": [pairs[0].photo, pairs[0].sketch],
        "other photos": photos,
        "sketched by the learned instruction": sketches,
    }
    save_png(contact_sheet(rows, side=256), sheet)
    print(f"Look at {sheet}")
