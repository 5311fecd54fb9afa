"""A companion's matrices round the layers of a loaded UNet, by peft, for as long as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from oneshot_sketch.companion import Companion
from oneshot_sketch.errors import InputError

NAME = "companion"


@contextmanager
def replaced(root: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """While inside, `modules` stand at their paths below `root`; afterwards what stood there, to the object."""
    taken: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for path, module in modules.items():
            above, _, leaf = path.rpartition(".")
            parent = root.get_submodule(above)
            taken.append((parent, leaf, parent.get_submodule(leaf)))
            setattr(parent, leaf, module)
        yield
    finally:
        for parent, leaf, module in reversed(taken):
            setattr(parent, leaf, module)


def cross_attention(unet: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers to_q, to_k, to_v and to_out.0 of every attn2, by path, without what peft has put round them.

    Raises:
        InputError: there is no cross-attention, or its projections are fused.
    """
    found: dict[str, nn.Linear] = {}
    for name, attention in unet.named_modules():
        if name.rpartition(".")[2] != "attn2":
            continue
        if getattr(attention, "fused_projections", False):
            raise InputError("the UNet's projections are fused, so no companion can join; call unfuse_qkv_projections().")
        for leaf in ("to_q", "to_k", "to_v", "to_out.0"):
            layer: Any = attention.get_submodule(leaf)
            layer = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
            if isinstance(layer, nn.Linear):
                found[f"{name}.{leaf}"] = layer
    if not found:
        raise InputError("this backbone's UNet has no cross-attention for a companion; learn without (companion_rank 0).")
    return found


class CompanionLayers:
    """peft's LoRA layers for a UNet, which stays as it is outside of `attached`.

    The user's own adapters, loaded or fused, go on working below: each layer adds to whatever stands at its place.

    Args:
        unet: what the companion is for; no reference to it is kept.
        companion: its matrices are copied.
        device: of the copies.

    Raises:
        InputError: the companion is of another UNet.
    """

    def __init__(self, unet: nn.Module, companion: Companion, device: torch.device | str = "cpu") -> None:
        places = cross_attention(_plain(unet))
        for path, (a, b) in companion.layers.items():
            if path not in places or (b.shape[0], a.shape[1]) != tuple(places[path].weight.shape):
                raise InputError(
                    f"the instruction's companion does not fit this backbone at {path}; load the one it was learned on."
                )
        numbers = [str(i) for i in range(len(companion.layers))]
        config = LoraConfig(r=companion.rank, lora_alpha=companion.rank, target_modules=numbers, init_lora_weights=False)
        sizes = [(a.shape[1], b.shape[0]) for a, b in companion.layers.values()]
        with torch.device("meta"):
            stand_ins = nn.Sequential(*(nn.Linear(width, height, bias=False) for width, height in sizes))
            inject_adapter_in_model(config, stand_ins, NAME)
        self._layers: dict[str, Any] = dict(zip(companion.layers, stand_ins, strict=True))
        for layer, (a, b) in zip(self._layers.values(), companion.layers.values(), strict=True):
            layer.lora_A[NAME].weight = nn.Parameter(a.detach().to(device, copy=True), requires_grad=False)
            layer.lora_B[NAME].weight = nn.Parameter(b.detach().to(device, copy=True), requires_grad=False)
            layer.base_layer = nn.Identity()

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The matrices themselves, by a name of their own: path and A or B."""
        return {
            f"{path}.{side}": group[NAME].weight
            for path, layer in self._layers.items()
            for side, group in (("A", layer.lora_A), ("B", layer.lora_B))
        }

    def companion(self, values: Mapping[str, Tensor]) -> Companion:
        """`values`, named like `parameters`, as a companion; copied to the CPU."""
        kept = {name: value.detach().to("cpu", torch.float32, copy=True) for name, value in values.items()}
        return Companion({path: (kept[f"{path}.A"], kept[f"{path}.B"]) for path in self._layers})

    @contextmanager
    def attached(self, unet: nn.Module, device: torch.device | None = None, scale: float = 1.0) -> Iterator[None]:
        """While inside, the UNet computes W + scale · B A.

        Args:
            device: to move the matrices to first; None leaves them.
        """
        unet = _plain(unet)
        for path, layer in self._layers.items():
            layer.scaling[NAME] = scale
            layer.base_layer = unet.get_submodule(path)
            if device is not None:
                layer.lora_A.to(device)
                layer.lora_B.to(device)
        try:
            with replaced(unet, self._layers):
                yield
        finally:
            for layer in self._layers.values():
                layer.base_layer = nn.Identity()


def untaught(unet: nn.Module, rank: int, seed: int) -> Companion:
    """Where learning starts: A from N(0, 1/in), B zero, so that it adds nothing yet."""
    generator = torch.Generator().manual_seed(seed)
    return Companion(
        {
            path: (
                torch.randn(rank, layer.in_features, generator=generator) * layer.in_features**-0.5,
                torch.zeros(layer.out_features, rank),
            )
            for path, layer in cross_attention(_plain(unet)).items()
        }
    )


def _plain(unet: Any) -> nn.Module:
    """The module that torch.compile has wrapped, if it has."""
    return getattr(unet, "_orig_mod", unet)
