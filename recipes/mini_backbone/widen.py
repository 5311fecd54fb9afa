"""An edition → one whose latents hold more components, to train on from (instead of steps 3 and 4 from nothing).

    python recipes/mini_backbone/widen.py --run runs/mini --weights runs/mini/constant --components 48 --output runs/wide
    python recipes/mini_backbone/train_autoencoder.py --run runs/wide …
    python recipes/mini_backbone/train_backbone.py --run runs/wide --start runs/wide/start …

The components there are stay; new ones are the principal components of what those leave of a patch, on the same scale. The
UNet's first and last convolution and the decoder's first get zeros for them, so that it all draws as before.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F
from triples import to_tensor

from oneshot_sketch.models.patch_autoencoder import PatchAutoencoder

LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
PATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder with triples/ and vae/")
    parser.add_argument("--weights", type=Path, required=True, help="folder with unet/, text_encoder/, tokenizer/, scheduler/")
    parser.add_argument("--components", type=int, required=True, help="of luma, at most 64")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    photos, drawings = (np.load(args.run / "triples" / f"000.{kind}.npy", mmap_mode="r") for kind in ("photos", "drawings"))
    images = torch.cat([to_tensor(np.asarray(drawings[:1500])).expand(-1, 3, -1, -1), to_tensor(np.asarray(photos[:500]))])
    vae = widen_autoencoder(PatchAutoencoder.from_pretrained(args.run / "vae"), args.components, images)
    vae.save_pretrained(args.output / "vae")
    widen_unet(UNet2DConditionModel.from_pretrained(args.weights / "unet"), vae.config["latent_channels"]).save_pretrained(
        args.output / "start" / "unet"
    )
    for part in ("text_encoder", "tokenizer", "scheduler"):
        shutil.copytree(args.weights / part, args.output / "start" / part, dirs_exist_ok=True)
    shutil.copytree(args.run / "triples", args.output / "triples", dirs_exist_ok=True, copy_function=_link)


@torch.no_grad()
def widen_autoencoder(old: PatchAutoencoder, components: int, images: Tensor) -> PatchAutoencoder:
    """Images are (N, 3, H, W) in [-1, 1]; they say which directions come next."""
    had = old.config["luma_channels"]
    new = PatchAutoencoder(
        components,
        components + 2,
        block_out_channels=tuple(old.config["block_out_channels"]),
        layers_per_block=old.config["layers_per_block"],
    )
    drawn = old.synthesis.weight.reshape(had, PATCH**2).double()  # basis × scale
    scale = drawn.norm(dim=1, keepdim=True)
    basis, mean = drawn / scale, old.synthesis.bias.double()  # type: ignore[union-attr]
    luma = torch.einsum("c,nchw->nhw", LUMA, images.double())[:, None]
    patches = F.unfold(luma, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, PATCH**2) - mean
    covariance = patches.T @ patches / len(patches)
    unit = (scale.squeeze(1) / torch.einsum("ki,ij,kj->k", basis, covariance, basis).pow(0.25)).median()
    rest = torch.eye(PATCH**2, dtype=torch.float64) - basis.T @ basis
    variance, more = torch.linalg.eigh(rest @ covariance @ rest)
    variance, more = variance.flip(0)[: components - had], more.flip(1).T[: components - had]
    more_scale = variance.pow(0.25)[:, None] * unit

    shape = (components - had, 1, PATCH, PATCH)
    analysis, bias = old.analysis.weight, old.analysis.bias.detach()  # type: ignore[union-attr]
    added = (more / more_scale).reshape(shape) * LUMA.view(1, 3, 1, 1)
    new.analysis.weight.copy_(torch.cat([analysis[:had], added.float(), analysis[had:]]))
    centred = -mean * more.sum(1) / more_scale.squeeze(1)
    new.analysis.bias.copy_(torch.cat([bias[:had], centred.float(), bias[had:]]))  # type: ignore[union-attr]
    new.synthesis.weight.copy_(torch.cat([old.synthesis.weight, (more * more_scale).reshape(shape).float()]))
    new.synthesis.bias.copy_(mean)  # type: ignore[union-attr]
    decoder = old.refine.state_dict()
    decoder["0.weight"] = F.pad(decoder["0.weight"], (0, 0, 0, 0, 0, components - had))
    new.refine.load_state_dict(decoder)
    return new


@torch.no_grad()
def widen_unet(old: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """The same network for latents of `channels`, the last two of which are chroma, as before."""
    had = old.config["out_channels"]
    settings = {name: value for name, value in old.config.items() if not name.startswith("_")}
    new = UNet2DConditionModel(**{**settings, "in_channels": 2 * channels, "out_channels": channels})
    kept = torch.tensor([*range(had - 2), channels - 2, channels - 1])
    weights = old.state_dict()
    first, last = new.conv_in.weight.new_zeros(new.conv_in.weight.shape), torch.zeros_like(new.conv_out.weight)
    first[:, torch.cat([kept, channels + kept])] = weights["conv_in.weight"]
    last[kept] = weights["conv_out.weight"]
    offset = torch.zeros_like(new.conv_out.bias)  # type: ignore[arg-type]
    offset[kept] = weights["conv_out.bias"]
    new.load_state_dict({**weights, "conv_in.weight": first, "conv_out.weight": last, "conv_out.bias": offset})
    return new


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    Path(target).hardlink_to(source)


if __name__ == "__main__":
    main()
