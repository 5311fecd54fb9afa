"""Train the way back, from sketch to photo: embedding, teacher and sketch mapper of *Picture that Sketch*.

    python recipes/train_picture_that_sketch.py --generator faces --pairs hand --output runs/way_back
    python recipes/train_picture_that_sketch.py --generator faces --sketch_generator hand-sketches --output runs/way_back
    python recipes/train_picture_that_sketch.py --generator faces --sketch_generator xdog --output runs/way_back

--generator is a folder or Hub id of a `StyleGAN2Generator`. Pairs are real ones of a folder with photo/ and sketch/, photos in
the generator's crop; or without limit faces that the generator invents, whose latents are known, sketched by a
`StyleSketchGenerator` or by the filter xdog; or, with --kept, a file that holds pairs with their latents. Run the same command
again after a stop, it goes on where it was. The output holds pipeline/ (for `PictureThatSketchPipeline.from_pretrained`),
embedding/, curves.json and state/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from oneshot_sketch.errors import InputError


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help.")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    from oneshot_sketch.learners.fine_grained_embedding import FineGrainedConfig
    from oneshot_sketch.learners.picture_that_sketch_config import PictureThatSketchConfig

    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--generator", required=True, help="folder or Hub id of a StyleGAN2Generator")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pairs", type=Path, help="folder with photo/ and sketch/, of one hand")
    source.add_argument("--kept", type=Path, help="safetensors file of pairs with latents, as KeptPairs.keep writes it")
    source.add_argument("--sketch_generator", help="folder or Hub id of a StyleSketchGenerator of that generator, or xdog")
    parser.add_argument("--take", type=int, help="take only so many pairs")
    parser.add_argument("--embedding", help="folder or Hub id of a FineGrainedEmbedding; left out, one is trained")
    parser.add_argument(
        "--encoder", help="folder or Hub id of an InversionEncoder as teacher; left out, one is trained for --pairs"
    )
    parser.add_argument("--embedding_only", action="store_true", help="train that embedding and nothing else")
    parser.add_argument("--whole", action="store_true", help="learn from finished sketches only")
    parser.add_argument("--lpips", default="alex", choices=("alex", "vgg", "squeeze"), help="network of the perceptual loss")
    parser.add_argument("--lpips_weights", type=Path, help="its state dict; left out, torchvision's are downloaded")
    parser.add_argument(
        "--squeeze_lpips", type=Path, nargs=2, metavar=("NET", "HEADS"), help="LPIPS over Caffe's SqueezeNet instead"
    )
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--checkpoint_every", type=int, default=500, metavar="STEPS")
    parser.add_argument("--device", help="default CUDA where there is one")
    add_settings(parser, PictureThatSketchConfig, "")
    add_settings(parser, FineGrainedConfig, "embedding_")
    args = parser.parse_args(arguments)
    for name in ("take", "checkpoint_every"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InputError(f"--{name} is {value}; it must be at least 1.")
    return args


def run(args: argparse.Namespace) -> None:
    """
    Raises:
        InputError: unusable pairs, networks or settings.
    """
    import torch

    from oneshot_sketch.learners.fine_grained_embedding import FineGrainedConfig
    from oneshot_sketch.learners.picture_that_sketch import PictureThatSketchLearner
    from oneshot_sketch.learners.picture_that_sketch_config import PictureThatSketchConfig
    from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
    from oneshot_sketch.models.inversion_encoder import InversionEncoder
    from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
    from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline

    config = PictureThatSketchConfig(**settings_in(args, PictureThatSketchConfig, ""))
    embedding: Any = FineGrainedConfig(**settings_in(args, FineGrainedConfig, "embedding_"))
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    generator = loaded(StyleGAN2Generator, args.generator).to(device)
    if args.embedding_only:
        return train_embedding(args, embedding, generator, device)
    if args.embedding is not None:
        embedding = loaded(FineGrainedEmbedding, args.embedding)
    learner = PictureThatSketchLearner(
        generator,
        config,
        embedding=embedding,
        teacher=None if args.encoder is None else loaded(InversionEncoder, args.encoder),
        perceptual=perceptual(args) if config.perceptual_weight else None,
        partial=None if args.whole else unfinished(),
    )
    data = examples(args, generator, device)
    learned = learner.learn(data, folder=args.output / "state", checkpoint_every=args.checkpoint_every)
    pipeline = PictureThatSketchPipeline(generator, learned.mapper, learned.teacher)  # type: ignore[arg-type]
    pipeline.save_pretrained(args.output / "pipeline")
    if learned.embedding is not None:
        learned.embedding.save_pretrained(args.output / "embedding")
    report(learned.curves, args.output)


def train_embedding(args: argparse.Namespace, config: Any, generator: Any, device: str) -> None:
    from oneshot_sketch.learners.fine_grained_embedding import FineGrainedLearner

    learner, data = FineGrainedLearner(config, device), examples(args, generator, device)
    state = {"folder": args.output / "state", "checkpoint_every": args.checkpoint_every}
    embedding, curve = learner.learn(data, **state)
    embedding.save_pretrained(args.output / "embedding")
    report({"embedding": curve}, args.output)


def report(curves: dict[str, list[dict[str, float]]], output: Path) -> None:
    from oneshot_sketch.atomic import replacing

    with replacing(output / "curves.json") as part:
        part.write_text(json.dumps(curves, indent=1) + "\n")
    for name, curve in curves.items():
        if curve:
            print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in curve[-1].items()))
    print(f"Saved in {output}")


def examples(args: argparse.Namespace, generator: Any, device: str) -> Any:
    """The data set that --pairs, --kept or --sketch_generator names."""
    from oneshot_sketch.data.styles import styles_of_folder
    from oneshot_sketch.filters import xdog
    from oneshot_sketch.learners.picture_that_sketch_data import KeptPairs, PseudoPairs, RealPairs
    from oneshot_sketch.models.stylesketch import StyleSketchGenerator, stylegan_fingerprint

    if args.pairs is not None:
        styles = styles_of_folder(args.pairs)
        if list(styles) != [""]:
            raise InputError(f"{args.pairs} holds {len(styles)} styles; give the folder of one, with photo/ and sketch/.")
        return RealPairs(styles[""]()[: args.take], generator.config["resolution"])
    if args.kept is not None:
        return KeptPairs(args.kept)
    count = args.take or 1_000_000
    if args.sketch_generator == "xdog":
        return PseudoPairs(generator, lambda photos: xdog(photos)[:, :1], count)
    sketcher = loaded(StyleSketchGenerator, args.sketch_generator).to(device).eval()
    if sketcher.config["stylegan"] not in (None, stylegan_fingerprint(generator)):
        raise InputError(f"{args.sketch_generator} draws another generator's faces; give the two that belong together.")
    return PseudoPairs(generator, sketcher, count)


def perceptual(args: argparse.Namespace) -> Any:
    from oneshot_sketch.metrics.lpips import Lpips
    from oneshot_sketch.metrics.lpips_caffe import SqueezeLpips

    if args.squeeze_lpips is not None:
        return SqueezeLpips.from_files(*args.squeeze_lpips)
    if args.lpips_weights is not None:
        return Lpips.from_files(args.lpips, args.lpips_weights)
    return Lpips.from_pretrained(args.lpips)


def unfinished() -> Any:
    from oneshot_sketch.partial_sketches import partial

    return partial


def loaded(kind: Any, name: str) -> Any:
    try:
        return kind.from_pretrained(name, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{name} could not be loaded as a {kind.__name__} ({reason}); check the name.") from None


def add_settings(parser: argparse.ArgumentParser, config: type, prefix: str) -> None:
    """A flag for every field of a config; "none" is None."""
    group = parser.add_argument_group(f"settings of {config.__name__}, as documented there")
    hints = get_type_hints(config)
    for setting in fields(config):
        flag, kind = f"--{prefix}{setting.name}", hints[setting.name]
        if setting.name == "widths":
            group.add_argument(flag, type=int, nargs=3, default=argparse.SUPPRESS)
        elif get_origin(kind) is not None and type(None) in get_args(kind):
            plain = next(one for one in get_args(kind) if one is not type(None))
            group.add_argument(
                flag, type=lambda word, plain=plain: None if word == "none" else plain(word), default=argparse.SUPPRESS
            )
        else:
            choices = get_args(kind) if isinstance(setting.default, str) else None
            group.add_argument(flag, type=type(setting.default), choices=choices, default=argparse.SUPPRESS)


def settings_in(args: argparse.Namespace, config: type, prefix: str) -> dict[str, Any]:
    return {field.name: vars(args)[prefix + field.name] for field in fields(config) if prefix + field.name in vars(args)}


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        run(parse_args(arguments))
    except InputError as error:
        print(f"train_picture_that_sketch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "train_picture_that_sketch: stopped; run the same command again to go on from the last checkpoint.", file=sys.stderr
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
