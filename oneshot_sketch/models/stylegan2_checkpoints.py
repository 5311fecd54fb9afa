"""StyleGAN2's published state dicts: which network they are for, in NVIDIA's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.models.stylegan2_layers import BLUR

Weights = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

_GENERATOR = "a StyleGAN2 generator"
_DISCRIMINATOR = "a StyleGAN2 discriminator"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a `.pt`, `.pth` or `.safetensors` file holds, on the CPU; nothing but tensors and plain containers is read.

    Raises:
        InputError: the file is missing, damaged or holds other things.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} could not be read ({str(error).splitlines()[0]}); check the file.") from None
    except Exception:  # torch.load raises whatever a damaged file makes it raise
        raise InputError(
            f"{path} is damaged or holds more than tensors and was not loaded; download it again or, if you trust whoever "
            "made it, save its state dict alone."
        ) from None
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} holds a {type(checkpoint).__name__}; give a state dict or a checkpoint with one.")
    return checkpoint


def nvidia_generator(state_dict: Mapping[str, Any]) -> tuple[dict[str, int], Weights]:
    """Arguments of `StyleGAN2Generator` and its weights.

    Raises:
        InputError: the state dict is of another network.
    """
    weights = _tensors(state_dict, _GENERATOR)
    if any(name.startswith(("style.", "decoder.style.", "to_rgb1.")) for name in weights):
        raise InputError("This state dict is in rosinality's layout; load it with StyleGAN2Generator.from_rosinality.")
    return _generator_config(weights := _without_filters(weights)), weights


def _generator_config(weights: Weights) -> dict[str, int]:
    if any(re.match(r"synthesis\.(input\.|L\d+_)", name) for name in weights):
        raise InputError("This state dict is of StyleGAN3, whose layers differ; give one of StyleGAN2.")
    if "mapping.embed.weight" in weights:
        raise InputError("This generator takes class labels (c_dim > 0); give one trained without.")
    width = _widths(weights, r"synthesis\.b(\d+)\.conv1\.weight", _GENERATOR)
    colours = sum(name.endswith(".torgb.weight") for name in weights)
    if any(name.endswith(".skip.weight") for name in weights) or colours == 1:
        raise InputError('This generator is not of the "skip" architecture, the only one supported.')
    return {
        "resolution": max(width),
        "z_dim": _size(weights, "mapping.fc0.weight", 1, _GENERATOR),
        "w_dim": _size(weights, "synthesis.b4.conv1.affine.weight", 1, _GENERATOR),
        "mapping_layers": sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in weights),
        "img_channels": _size(weights, "synthesis.b4.torgb.weight", 0, _GENERATOR),
        **_formula(width),
    }


def nvidia_discriminator(state_dict: Mapping[str, Any]) -> tuple[dict[str, int], Weights]:
    """Arguments of `StyleGAN2Discriminator` and its weights.

    Raises:
        InputError: the state dict is of another network.
    """
    weights = _without_filters(_tensors(state_dict, _DISCRIMINATOR))
    if any(name.startswith("mapping.") for name in weights):
        raise InputError("This discriminator takes class labels (c_dim > 0); give one trained without.")
    width = _widths(weights, r"b(\d+)\.conv0\.weight", _DISCRIMINATOR, first=8)
    top = max(width)
    if f"b{top}.skip.weight" not in weights or sum(name.endswith("fromrgb.weight") for name in weights) != 1:
        raise InputError('This discriminator is not of the "resnet" architecture, the only one supported.')
    width[4] = _size(weights, "b4.conv.weight", 0, _DISCRIMINATOR)
    channels = _size(weights, f"b{top}.fromrgb.weight", 1, _DISCRIMINATOR)
    return {"resolution": top, "img_channels": channels, **_formula(width)}, weights


def rosinality_generator(checkpoint: Mapping[str, Any]) -> tuple[dict[str, int], Weights, bool]:
    """Arguments of `StyleGAN2Generator`, its weights, and whether the mean w was among them (else it is zeros).

    Args:
        checkpoint: a state dict, a training checkpoint with `g_ema`, or one of pSp or e4e with `state_dict`, in which the
            generator is the `decoder`.

    Raises:
        InputError: the state dict is of another network.
    """
    if not isinstance(checkpoint, Mapping):
        raise InputError(f"This is a {type(checkpoint).__name__}, not a state dict or checkpoint of {_GENERATOR}; give one.")
    state = next((checkpoint[key] for key in ("g_ema", "state_dict") if key in checkpoint), checkpoint)
    weights = {name: value for name, value in _tensors(state, _GENERATOR).items() if name != "latent_avg"}
    if any(name.startswith("decoder.") for name in weights):
        weights = {name.removeprefix("decoder."): value for name, value in weights.items() if name.startswith("decoder.")}
    if any(name.startswith("synthesis.") for name in weights):
        raise InputError("This state dict is in NVIDIA's layout; load it with StyleGAN2Generator.from_nvidia.")
    weights = {(new := _nvidia_name(name)): _reshaped(new, value) for name, value in _without_filters(weights).items()}
    config = _generator_config(weights)
    average = checkpoint.get("latent_avg")
    if isinstance(average, Tensor) and (average.ndim == 0 or average.shape[-1] != config["w_dim"]):
        raise InputError(f"latent_avg is {tuple(average.shape)}, but w has {config['w_dim']} numbers; give both of one network.")
    known = isinstance(average, Tensor)
    # pSp and e4e repeat their mean for every layer.
    mean = average.double().reshape(-1, config["w_dim"]).mean(0).float() if known else torch.zeros(config["w_dim"])
    return config, weights | {"mapping.w_avg": mean}, known


def filled(build: type[Network], config: Mapping[str, Any], weights: Weights) -> Network:
    """`build(**config)` in float32 on the CPU with a copy of these weights, in evaluation mode.

    Raises:
        InputError: weights are missing, left over or of another shape.
    """
    with torch.device("meta"):
        network = build(**config)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    name = build.__name__
    if missing := sorted(expected.keys() - weights.keys()):
        raise InputError(f"The state dict lacks {_few(missing)} of a {name}; give a complete one.")
    if extra := sorted(weights.keys() - expected.keys()):
        raise InputError(f"The state dict holds {_few(extra)}, which no {name} has; give one of that network.")
    for key, shape in expected.items():
        if tuple(weights[key].shape) != shape:
            raise InputError(f"{key} is {tuple(weights[key].shape)} where {shape} follows from the others; give a whole one.")
    network.to_empty(device="cpu").load_state_dict(weights)
    return network.eval()


_MODULATED = {"conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias"}
_CONVOLUTION = _MODULATED | {"noise.weight": "noise_strength", "activate.bias": "bias"}
_COLOUR = _MODULATED | {"bias": "bias"}


def _nvidia_name(name: str) -> str:
    """rosinality's name in NVIDIA's terms; itself where it has none there."""
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"{_layer(int(match[1]))}.noise_const"
    if (match := re.fullmatch(r"(?:conv1|convs\.(\d{1,2}))\.(.+)", name)) and match[2] in _CONVOLUTION:
        return f"{_layer(0 if match[1] is None else int(match[1]) + 1)}.{_CONVOLUTION[match[2]]}"
    if (match := re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d{1,2}))\.(.+)", name)) and match[2] in _COLOUR:
        return f"synthesis.b{4 if match[1] is None else 8 << int(match[1])}.torgb.{_COLOUR[match[2]]}"
    return name


def _layer(index: int) -> str:
    """The convolution of that index, coarse to fine: one at 4×4, two at every further side."""
    return f"synthesis.b{4 << (index + 1) // 2}.conv{1 - index % 2}"


def _reshaped(name: str, value: Tensor) -> Tensor:
    """Without the axes of length 1 that rosinality adds in front and behind."""
    if not name.startswith("synthesis.") or ".affine." in name:
        return value
    axes = {"weight": 4, "const": 3, "noise_const": 2, "bias": 1, "noise_strength": 0}[name.rpartition(".")[2]]
    while value.ndim > axes and len(value) == 1:
        value = value[0]
    while value.ndim > axes and value.shape[-1] == 1:
        value = value[..., 0]
    return value


def _tensors(state_dict: Mapping[str, Any], what: str) -> Weights:
    if not isinstance(state_dict, Mapping) or not state_dict:
        raise InputError(f"This is not a state dict of {what}; give a dict of names and tensors.")
    for name, value in state_dict.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(
                f"{str(name)[:60]!r} is a {type(value).__name__}, not a tensor; give the state dict of {what} itself."
            )
    return dict(state_dict)


def _without_filters(weights: Weights) -> Weights:
    """Leave out the low-pass filters, which are not learned, once they are known to be ours."""
    kept: Weights = {}
    for name, value in weights.items():
        if not name.endswith(("resample_filter", "blur.kernel", "upsample.kernel")):
            kept[name] = value
        elif value.shape != BLUR.shape or not torch.allclose(value.float() / value.float().sum(), BLUR, atol=1e-4):
            raise InputError(f"{name} is not the low-pass [1, 3, 3, 1], the only one supported.")
    return kept


def _widths(weights: Weights, pattern: str, what: str, first: int = 4) -> dict[int, int]:
    """Channels by side, for a whole series of sides from `first`."""
    width = {
        int(match[1]): len(value) for name, value in weights.items() if (match := re.fullmatch(pattern, name)) and value.ndim
    }
    whole = {first << octave for octave in range(len(width))}
    if max(width, default=0) < 8 or set(width) != whole:
        found = f"its blocks have the sides {sorted(width)}" if width else "it has no such blocks"
        raise InputError(f"This is not a state dict of {what}: {found}; give a whole one.")
    return width


def _formula(width: Mapping[int, int]) -> dict[str, int]:
    """`channel_base` and `channel_max` of which these widths are min(base // side, max)."""
    most = max(width.values())
    narrowed = [channels * side for side, channels in width.items() if channels < most]
    base = max(narrowed) if narrowed else most * max(width)
    if any(min(base // side, most) != channels for side, channels in width.items()):
        raise InputError(
            f"Its widths {dict(sorted(width.items()))} are not min(channel_base / side, channel_max); they are not supported."
        )
    return {"channel_base": base, "channel_max": most}


def _size(weights: Weights, name: str, axis: int, what: str) -> int:
    value = weights.get(name)
    if value is None or value.ndim <= axis:
        raise InputError(f"This is not a state dict of {what}: it lacks {name}; give a whole one.")
    return value.shape[axis]


def _few(names: list[str]) -> str:
    return ", ".join(repr(name[:80]) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
