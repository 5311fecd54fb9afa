"""Names and shapes of published StyleGAN2 checkpoints, written out from their layouts, and weights to fill them with."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
# Channels of the maps by side, of FFHQ at 1024 pixels (config F).
FFHQ = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
SMALL = {4: 6, 8: 6, 16: 4, 32: 2}


def nvidia_generator(width: Mapping[int, int], z_dim: int = 512, w_dim: int = 512, layers: int = 8, colours: int = 3) -> Shapes:
    shapes: Shapes = {}
    for side, channels in width.items():
        block = f"synthesis.b{side}"
        shapes[f"{block}.resample_filter"] = (4, 4)
        if side == 4:
            shapes[f"{block}.const"] = (channels, 4, 4)
        else:
            shapes |= _nvidia_layer(f"{block}.conv0", width[side // 2], channels, w_dim, side)
        shapes |= _nvidia_layer(f"{block}.conv1", channels, channels, w_dim, side)
        shapes |= {f"{block}.torgb.weight": (colours, channels, 1, 1), f"{block}.torgb.bias": (colours,)}
        shapes |= {f"{block}.torgb.affine.weight": (channels, w_dim), f"{block}.torgb.affine.bias": (channels,)}
    for i in range(layers):
        shapes |= {f"mapping.fc{i}.weight": (w_dim, w_dim if i else z_dim), f"mapping.fc{i}.bias": (w_dim,)}
    return shapes | {"mapping.w_avg": (w_dim,)}


def _nvidia_layer(name: str, inputs: int, outputs: int, w_dim: int, side: int) -> Shapes:
    return {
        f"{name}.weight": (outputs, inputs, 3, 3),
        f"{name}.noise_strength": (),
        f"{name}.bias": (outputs,),
        f"{name}.resample_filter": (4, 4),
        f"{name}.noise_const": (side, side),
        f"{name}.affine.weight": (inputs, w_dim),
        f"{name}.affine.bias": (inputs,),
    }


def nvidia_discriminator(width: Mapping[int, int], colours: int = 3) -> Shapes:
    shapes: Shapes = {}
    top = max(width)
    for side in sorted(width, reverse=True)[:-1]:
        channels, out, block = width[side], width[side // 2], f"b{side}"
        layers: Shapes = {"fromrgb": (channels, colours, 1, 1)} if side == top else {}
        layers |= {"conv0": (channels, channels, 3, 3), "conv1": (out, channels, 3, 3), "skip": (out, channels, 1, 1)}
        shapes[f"{block}.resample_filter"] = (4, 4)
        for name, shape in layers.items():
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.resample_filter": (4, 4)}
            shapes |= {} if name == "skip" else {f"{block}.{name}.bias": shape[:1]}
    last = width[4]
    shapes |= {"b4.conv.weight": (last, last + 1, 3, 3), "b4.conv.bias": (last,), "b4.conv.resample_filter": (4, 4)}
    return shapes | {
        "b4.fc.weight": (last, last * 16),
        "b4.fc.bias": (last,),
        "b4.out.weight": (1, last),
        "b4.out.bias": (1,),
    }


def rosinality_generator(width: Mapping[int, int], w_dim: int = 512, layers: int = 8) -> Shapes:
    shapes: Shapes = {"input.input": (1, width[4], 4, 4)}
    for i in range(1, layers + 1):
        shapes |= {f"style.{i}.weight": (w_dim, w_dim), f"style.{i}.bias": (w_dim,)}
    shapes |= _rosinality_layer("conv1", width[4], width[4], w_dim) | _rosinality_colour("to_rgb1", width[4], w_dim)
    shapes["noises.noise_0"] = (1, 1, 4, 4)
    for i, side in enumerate(sorted(width)[1:]):
        inputs, channels = width[side // 2], width[side]
        shapes |= _rosinality_layer(f"convs.{2 * i}", inputs, channels, w_dim)
        shapes |= {f"convs.{2 * i}.conv.blur.kernel": (4, 4), f"to_rgbs.{i}.upsample.kernel": (4, 4)}
        shapes |= _rosinality_layer(f"convs.{2 * i + 1}", channels, channels, w_dim)
        shapes |= _rosinality_colour(f"to_rgbs.{i}", channels, w_dim)
        shapes |= {f"noises.noise_{2 * i + n}": (1, 1, side, side) for n in (1, 2)}
    return shapes


def _rosinality_layer(name: str, inputs: int, outputs: int, w_dim: int) -> Shapes:
    return {
        f"{name}.conv.weight": (1, outputs, inputs, 3, 3),
        f"{name}.conv.modulation.weight": (inputs, w_dim),
        f"{name}.conv.modulation.bias": (inputs,),
        f"{name}.noise.weight": (1,),
        f"{name}.activate.bias": (outputs,),
    }


def _rosinality_colour(name: str, inputs: int, w_dim: int) -> Shapes:
    return {
        f"{name}.conv.weight": (1, 3, inputs, 1, 1),
        f"{name}.conv.modulation.weight": (inputs, w_dim),
        f"{name}.conv.modulation.bias": (inputs,),
        f"{name}.bias": (1, 3, 1, 1),
    }


def weights(shapes: Shapes) -> dict[str, Tensor]:
    """The same numbers on every machine: a sine along each tensor, of another pitch for each."""
    state = {}
    for i, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        if name.endswith(("resample_filter", ".kernel")):
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
            state[name] = torch.outer(taps, taps) * (1 if name.endswith("filter") else 4)
        else:
            wave = torch.sin(torch.arange(1, math.prod(shape) + 1, dtype=torch.float64) * (0.7 + 0.37 * i)) * 1.4
            # Mapping learns at a hundredth of the pace, its weights are a hundred times as large.
            wide = 100 if name.startswith(("mapping.fc", "style.")) and name.endswith("weight") else 1
            state[name] = (wave * wide).float().reshape(shape)
    return state
