"""What a guided call need not compute: branches that guidance weighs with zero, and keys and values of rows that stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from diffusers.models.embeddings import TextTimeEmbedding
from torch import Tensor, nn

from oneshot_sketch.adapters import replaced
from oneshot_sketch.guidance import branch_weights


@contextmanager
def weighed_branches(unet: Any, text_scale: float, image_scale: float) -> Iterator[None]:
    """While inside, the UNet runs on those thirds of its batch (full, photo, nothing) that two-scale guidance does not weigh
    with zero, and answers zero for the others."""
    kept = [i for i, weight in enumerate(branch_weights(text_scale, image_scale)) if weight]
    if len(kept) == 3 or text_scale == image_scale == 1:  # at scales 1 and 1 the pipeline asks for no guidance at all
        yield
        return
    rows: list[Tensor] = [torch.empty(0)] * 2  # as they came and as they were passed on, the same tensor in every step

    def pick(batch: Tensor) -> Tensor:
        return torch.cat([batch.chunk(3)[i] for i in kept])

    def narrow(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = kwargs["encoder_hidden_states"]
        if given is not rows[0]:
            rows[:] = given, pick(given)
        added = kwargs.get("added_cond_kwargs")
        if added:
            added = {**added, "image_embeds": [pick(embeds) for embeds in added["image_embeds"]]}
        return (pick(args[0]), *args[1:]), {**kwargs, "encoder_hidden_states": rows[1], "added_cond_kwargs": added}

    def widen(module: Any, args: tuple[Any, ...], output: tuple[Tensor]) -> tuple[Tensor]:
        parts = dict(zip(kept, output[0].chunk(len(kept)), strict=True))
        return (torch.cat([parts.get(i, torch.zeros_like(parts[kept[0]])) for i in range(3)]),)

    hooks = unet.register_forward_pre_hook(narrow, with_kwargs=True), unet.register_forward_hook(widen)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def rows_read_once(unet: Any) -> Iterator[None]:
    """While inside, cross-attention computes keys and values of the rows it attends to once, to the bit as in every step.

    What is compiled, offloaded in groups or has attention of another kind is left alone.
    """
    compiled = hasattr(unet, "_orig_mod") or unet._compiled_call_impl is not None
    if compiled or any(hasattr(module, "_diffusers_hook") for module in unet.modules()):
        yield
        return
    readers = {
        f"{name}.{leaf}": _Remembering(module.get_submodule(leaf))
        for name, module in unet.named_modules()
        if name.rpartition(".")[2] == "attn2"
        and type(module.processor) in (AttnProcessor, AttnProcessor2_0)
        and not module.fused_projections
        for leaf in ("to_k", "to_v")
    }
    if isinstance(getattr(unet, "add_embedding", None), TextTimeEmbedding):
        readers["add_embedding"] = _Remembering(unet.add_embedding)
    with replaced(unet, readers):
        yield


class _Remembering(nn.Module):
    """Asked again with the same tensor, gives the same answer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._asked: Any = None

    def forward(self, rows: Tensor) -> Tensor:
        if self._asked is not rows:
            self._asked, self._answer = rows, self.module(rows)
        return self._answer
