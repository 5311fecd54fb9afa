"""StyleGAN2 as others publish it → a folder that `StyleGAN2Generator.from_pretrained` reads.

    python recipes/convert_stylegan2.py ffhq.pkl ffhq                        # NVIDIA's: its G_ema
    python recipes/convert_stylegan2.py ffhq.pkl ffhq-d --network D          # its discriminator
    python recipes/convert_stylegan2.py stylegan2-ffhq-config-f.pt ffhq      # rosinality's, pSp's, e4e's

Nothing in the file is executed; see docs/systems/stylegan2.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oneshot_sketch.atomic import replacing_folder
from oneshot_sketch.errors import InputError
from oneshot_sketch.models import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    read_checkpoint,
    read_network_pickle,
)


def convert(source: Path, folder: Path, network: str | None = None) -> StyleGAN2Generator | StyleGAN2Discriminator:
    """Write the network of `source` to `folder`, in float32.

    Args:
        network: which of a `.pkl`: "G_ema" (the default), "G" or "D".

    Raises:
        InputError: the file holds no network we know, or the folder cannot be written.
    """
    if folder.is_file():
        raise InputError(f"{folder} is a file; give the name of a folder for the network.")
    if network is not None and source.suffix != ".pkl":
        raise InputError(f"{source} holds one network; leave out --network.")
    found = from_pickle(source, network or "G_ema") if source.suffix == ".pkl" else from_checkpoint(source)
    with replacing_folder(folder) as part:
        found.save_pretrained(part)
    return found


def from_pickle(source: Path, name: str) -> StyleGAN2Generator | StyleGAN2Discriminator:
    networks = read_network_pickle(source)
    if name not in networks:
        raise InputError(f"{source} holds {', '.join(networks)} and no {name}; choose one with --network.")
    pickled = networks[name]
    clamp = pickled.setting("conv1.conv_clamp")
    if pickled.class_name == "Discriminator":
        group = pickled.setting("mbstd.group_size")
        return StyleGAN2Discriminator.from_nvidia(pickled.state_dict, clamp, group)
    return StyleGAN2Generator.from_nvidia(pickled.state_dict, clamp)


def from_checkpoint(source: Path) -> StyleGAN2Generator | StyleGAN2Discriminator:
    checkpoint = read_checkpoint(source)
    if any(str(name).startswith("synthesis.") for name in checkpoint):
        return StyleGAN2Generator.from_nvidia(checkpoint)
    if "b4.out.weight" in checkpoint:
        return StyleGAN2Discriminator.from_nvidia(checkpoint)
    return StyleGAN2Generator.from_rosinality(checkpoint)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="FILE", help=".pkl, .pt, .pth or .safetensors")
    parser.add_argument("folder", type=Path, metavar="OUT")
    parser.add_argument("--network", help="which network of a .pkl: G_ema (default), G or D")
    given = parser.parse_args(arguments)
    try:
        network = convert(given.source, given.folder, given.network)
    except InputError as error:
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
        print(f"convert_stylegan2: {line}", file=sys.stderr)
        return 2
    print(f"{given.folder}: {type(network).__name__} of {network.config['resolution']} pixels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
