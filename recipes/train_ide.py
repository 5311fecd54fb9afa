"""Learn IDE, or its first stage alone, from the pairs of a data set; run the same command again to go on.

    python recipes/train_ide.py --root data/cufs --style student --split train --output runs/ide \
        --set coarse_scale=0.5 steps=20000 batch=4

--set takes any field of IDELearnerConfig, --field any setting of PatchField, values as JSON. The folder then holds
pipeline/ (for IDEPipeline.from_pretrained), state/, coarse/, sheets/ and curve.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneshot_sketch.errors import InputError

if TYPE_CHECKING:
    from oneshot_sketch import PhotoSketchPair
    from oneshot_sketch.learners.ide import IDEStep
    from oneshot_sketch.pipelines.ide import IDEPipeline


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_set", default="cufs", help="see oneshot_sketch.data.load_pairs")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument("--style")
    parser.add_argument("--split", default="train")
    parser.add_argument("--test_share", type=float, help="make a split of one's own: so much is test, by the hash of identities")
    parser.add_argument("--pairs", type=int, help="take only the first ones; 1 is one-shot")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--stage_one", action="store_true", help="fit the patch field and learn no second stage")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--field", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--network", default="vgg19", help="of the perceptual loss: vgg19 or squeezenet")
    parser.add_argument("--weights", type=Path, help="its weights; default torchvision's own")
    parser.add_argument("--caffe", action="store_true", help="they read BGR in [0, 255]")
    parser.add_argument("--layer", help="which features, as conv5_4 or fire5; default conv5_4 of VGG19, fire9 of SqueezeNet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--watch", type=int, default=5, help="test photos drawn at every checkpoint")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    from oneshot_sketch.learners.ide import IDELearner, perceptual_features
    from oneshot_sketch.learners.ide_config import IDELearnerConfig
    from oneshot_sketch.learners.ide_material import fit_field
    from oneshot_sketch.pipelines.ide import IDEPipeline

    try:
        config = IDELearnerConfig(field=settings(args.field), **settings(args.set))
    except TypeError as error:
        raise InputError(f"--set names no field of IDELearnerConfig ({error}).") from None
    pairs = chosen(args, args.split, args.pairs)
    if args.stage_one:
        keep(IDEPipeline(fit_field(pairs, config)), args.output)
        return
    features = perceptual_features(args.network, args.weights, args.caffe, args.layer) if config.perceptual_weight else None
    watched = chosen(args, "test", args.watch) if args.split != "test" and args.watch else []
    coarse: list[Any] = []  # of the watched photos, drawn once

    def callback(step: IDEStep) -> None:
        if step.step % config.save_every == 0 and watched:
            pipe = IDEPipeline(step.field, step.enhancer, config.coarse_scale)
            show(pipe, watched, coarse, args.output / "sheets" / f"{step.step:06}.png")

    learned = IDELearner(config, features, args.device).learn(pairs, folder=args.output, callback=callback)
    keep(IDEPipeline(learned.field, learned.enhancer, config.coarse_scale), args.output)
    write_curve(args.output / "curve.csv", learned.curve)


def settings(given: Sequence[str]) -> dict[str, Any]:
    """
    Raises:
        InputError: something that is not NAME=VALUE.
    """
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InputError(f"{one!r} is not NAME=VALUE; write for instance steps=2000.")
        with suppress(ValueError):  # a word is itself
            value = json.loads(value)
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def chosen(args: argparse.Namespace, split: str, count: int | None) -> list[PhotoSketchPair]:
    """
    Raises:
        InputError: the data set is not there, or holds no such pairs.
    """
    from oneshot_sketch.data import load_pairs, split_by_hash, to_pairs

    rows = load_pairs(args.data_set, args.root)
    if args.test_share is not None:
        rows = split_by_hash(rows, args.test_share)
    keep = [i for i, (style, of) in enumerate(zip(rows["style"], rows["split"], strict=True)) if _fits(args, split, style, of)]
    if not keep and split == args.split:
        raise InputError(f"{args.root} holds no pairs of split {split!r} and style {args.style!r}; check both names.")
    return list(to_pairs(rows.select(keep[:count])))


def _fits(args: argparse.Namespace, split: str, style: str | None, of: str) -> bool:
    return of == split and args.style in (None, style)


def show(pipe: IDEPipeline, watched: Sequence[PhotoSketchPair], coarse: list[Any], path: Path) -> None:
    from oneshot_sketch.contact_sheet import contact_sheet
    from oneshot_sketch.images import save_png

    pipe.set_progress_bar_config(disable=True)
    if not coarse:
        coarse += pipe([pair.photo for pair in watched], coarse_only=True).images
    rows = {
        "photo": [pair.photo for pair in watched],
        "stage one": coarse,
        "stage two": pipe.mend(coarse),
        "artist": [pair.sketch for pair in watched],
    }
    save_png(contact_sheet(rows, side=250), path)


def keep(pipe: IDEPipeline, output: Path) -> None:
    """Save the pipeline whole, instead of what an earlier run left."""
    from oneshot_sketch.atomic import replacing_folder

    with replacing_folder(output / "pipeline") as part:
        pipe.save_pretrained(part)
        shutil.rmtree(output / "pipeline", ignore_errors=True)


def write_curve(path: Path, curve: Sequence[dict[str, float]]) -> None:
    from oneshot_sketch.atomic import replacing

    with replacing(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, curve[-1])
        writer.writeheader()
        writer.writerows(curve)


def main() -> int:
    try:
        run(parse_args())
    except InputError as error:
        print(f"train_ide: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train_ide: stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    sys.exit(main())
