"""Train a StyleSketch generator from a folder of pairs; run again after a stop, it goes on where it was.

    python recipes/train_stylesketch.py --stylegan ffhq --pairs hand --output hand-sketches

`--stylegan` is a folder or Hub id of a `StyleGAN2Generator`, `--pairs` holds photo/ and sketch/, the photos in the StyleGAN's
crop. Their W+ codes come from `--latents`, a safetensors file with a tensor `ws` (N, num_ws, w_dim) in the order of the file
names, or are found by inversion.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from oneshot_sketch.errors import InputError, loading


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    from oneshot_sketch.learners.stylesketch_config import StyleSketchLearnerConfig

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--stylegan", required=True, help="folder or Hub id")
    parser.add_argument("--pairs", required=True, type=Path, help="folder with photo/ and sketch/, of one hand")
    parser.add_argument("--latents", type=Path, help="safetensors file with ws, where they are known")
    parser.add_argument("--encoder", help="folder or Hub id of an InversionEncoder, for photos whose latents are not known")
    parser.add_argument("--first", type=int, help="take only so many pairs")
    parser.add_argument("--output", required=True, type=Path, help="folder of the artefact; the state of the run lies beside it")
    parser.add_argument("--device", help="default CUDA where there is one")
    settings = parser.add_argument_group("settings of StyleSketchLearnerConfig, as documented there")
    for setting in fields(StyleSketchLearnerConfig):
        if isinstance(setting.default, bool):
            settings.add_argument(f"--{setting.name}", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            settings.add_argument(f"--{setting.name}", type=_reader(setting.default), default=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """
    Raises:
        InputError: unusable pairs, latents, networks or settings.
    """
    import torch

    from oneshot_sketch.data.styles import styles_of_folder
    from oneshot_sketch.learners.stylesketch import StyleSketchLearner, StyleSketchLearnerConfig
    from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

    names = {setting.name for setting in fields(StyleSketchLearnerConfig)}
    config = StyleSketchLearnerConfig(**{name: value for name, value in vars(args).items() if name in names})
    styles = styles_of_folder(args.pairs)
    if list(styles) != [""]:
        raise InputError(f"{args.pairs} holds {len(styles)} styles; give the folder of one, with photo/ and sketch/.")
    pairs = styles[""]()[: args.first]
    latents = _latents(args.latents, args.first)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    stylegan = _loaded(StyleGAN2Generator, args.stylegan).to(device)
    learner = StyleSketchLearner(stylegan, config, invert=_inversion(args.encoder, device))
    learned = learner.learn(pairs, latents, checkpoint=args.output.with_name(f"{args.output.name}.state"))
    learned.save_pretrained(args.output)
    l1 = learned.record.curve["l1"]
    print(f"L1 {l1[0]:.4f} → {l1[-1]:.4f} on {len(pairs)} pairs. Saved in {args.output}")
    if learned.record.inversion_errors:
        worst = max(learned.record.inversion_errors)
        print(f"Inversion error {sum(learned.record.inversion_errors) / len(pairs):.4f}, at worst {worst:.4f}")


def _reader(default: Any) -> Any:
    """From a word of the command line to a setting like its default; "none" is None."""
    kind = _number_or_word if default is None else type(default)
    return lambda word: None if word == "none" else kind(word)


def _number_or_word(word: str) -> int | str:
    return int(word) if word.isdecimal() else word


def _latents(path: Path | None, first: int | None) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path is None:
        return None
    try:
        return load_file(path)["ws"][:first]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check --latents.") from None
    except (SafetensorError, KeyError, OSError) as error:
        raise InputError(f"{path} holds no tensor ws that safetensors can read ({error}); check --latents.") from None


def _loaded(kind: Any, name: str) -> Any:
    with loading(name, f"a {kind.__name__}"):
        return kind.from_pretrained(name, use_safetensors=True)


def _inversion(encoder: str | None, device: str) -> Any:
    from oneshot_sketch.models.inversion import invert

    if encoder is None:
        return invert
    from oneshot_sketch.models.inversion_encoder import InversionEncoder

    return partial(invert, encoder=_loaded(InversionEncoder, encoder).to(device))


if __name__ == "__main__":
    try:
        run(parse_args())
    except InputError as error:
        print(f"train_stylesketch: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("train_stylesketch: stopped; run the same command again to go on from the last checkpoint.", file=sys.stderr)
        sys.exit(2)
