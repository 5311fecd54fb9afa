"""`oneshot-sketch sketch`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from oneshot_sketch.errors import InputError


def sketch(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    instruction: Annotated[str, typer.Option(help="Folder or Hub id of a learned instruction.")],
    output: Annotated[Path, typer.Option(help="Folder for the sketches, one <stem>.png a photo.")],
    text: Annotated[str | None, typer.Option(help="Joined with the instruction.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Of the instruction.")] = None,
    image_guidance_scale: Annotated[float | None, typer.Option(help="Of the photo; at least 1.")] = None,
    resolution: Annotated[str, typer.Option(help='"native", "photo" or a number of pixels.')] = "native",
    backbone: Annotated[str | None, typer.Option(help="Default: the one the instruction was learned on.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same for every photo.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
) -> None:
    """Sketch photos by a learned instruction."""
    if output.is_file():
        raise InputError(f"{output} is a file; give the name of a folder for the sketches.")
    paths = _photos(photos)
    results = {path: output / f"{path.stem}.png" for path in paths}
    if spoilt := {os.path.realpath(path) for path in paths} & {os.path.realpath(result) for result in results.values()}:
        raise InputError(f"the sketch would replace the photo {min(spoilt)}; choose another --output.")

    from oneshot_sketch.learned_instruction import LearnedInstruction

    learned = LearnedInstruction.from_pretrained(instruction)

    import torch
    from tqdm import tqdm

    from oneshot_sketch.cli.learning import load_backbone
    from oneshot_sketch.images import open_image

    pipe = load_backbone(backbone or learned.record.backbone, device)
    pipe.load_instruction(learned, name=Path(instruction).name)
    failed = []
    with tqdm(paths, desc="sketching", unit="photo") as bar:
        for path in bar:
            try:
                photo = open_image(path)
            except InputError as error:
                failed.append(str(error))
                continue
            drawn = pipe(
                image=photo,
                text=text,
                num_inference_steps=steps,
                guidance_scale=guidance_scale,
                image_guidance_scale=image_guidance_scale,
                resolution=int(resolution) if resolution.isdecimal() else resolution,  # type: ignore[arg-type]
                generator=torch.Generator().manual_seed(seed),
            )
            drawn.save(results[path])
    if len(failed) < len(paths):
        print(f"{len(paths) - len(failed)} of {len(paths)} photos sketched. Saved in {output}")
    if failed:
        raise InputError(failed[0] if len(failed) == 1 else f"{len(failed)} photos were not sketched; the first: {failed[0]}")


def _photos(given: list[Path]) -> list[Path]:
    """Folders replaced by their pictures; no two of one stem."""
    from oneshot_sketch.images import list_images

    paths: list[Path] = []
    for path in given:
        if path.is_dir():
            found = list_images(path)
            if not found:
                raise InputError(f"{path} holds no pictures; give a folder with PNG or JPEG files.")
            paths += found
        else:
            paths.append(path)
    stems: dict[str, Path] = {}
    for path in paths:
        if path.stem in stems and stems[path.stem] != path:
            raise InputError(f"{stems[path.stem]} and {path} would both become {path.stem}.png; rename one or sketch them apart.")
        stems[path.stem] = path
    return list(stems.values())
