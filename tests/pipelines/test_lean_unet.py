"""What a call leaves out changes no picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import sketches
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image
from torch import nn

from oneshot_sketch import LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.guidance import branch_weights, two_scale_guidance
from oneshot_sketch.pipelines import one_shot_sketch
from oneshot_sketch.pipelines.lean_unet import rows_read_once


class Batches:
    """Counts what goes through the UNet, and through one projection of its cross-attention."""

    def __init__(self, pipe: OneShotSketchPipeline) -> None:
        self.unet: list[int] = []
        self.keys = 0
        pipe.unet.conv_in.register_forward_hook(lambda module, args, output: self.unet.append(len(output)))
        attention = next(m for name, m in pipe.unet.named_modules() if name.endswith("attn2"))
        attention.to_k.register_forward_hook(self._key)

    def _key(self, module: nn.Module, args: Any, output: Any) -> None:
        self.keys += 1


def test_branch_weights_are_those_of_the_formula() -> None:
    branches = torch.eye(3)
    weights = [two_scale_guidance(*branch, 3.0, 1.5).item() for branch in branches]
    assert weights == list(branch_weights(3.0, 1.5)) == [3.0, -1.5, -0.5]


@pytest.mark.parametrize(
    ("text_scale", "image_scale", "branches"), [(1, 1, 1), (3, 1, 2), (2, 2, 2), (0, 1, 1), (0, 2, 2), (3, 2, 3), (1, 2, 3)]
)
def test_branches_without_weight_are_not_computed(
    tiny_pipe: OneShotSketchPipeline,
    instruction: LearnedInstruction,
    photo: Image.Image,
    text_scale: float,
    image_scale: float,
    branches: int,
) -> None:
    tiny_pipe.load_instruction(instruction)
    seen = Batches(tiny_pipe)
    scales = {"guidance_scale": text_scale, "image_guidance_scale": image_scale}
    drawn = sketches(tiny_pipe, image=[photo, photo.rotate(90)], **scales)
    assert seen.unet == [2 * branches] * 2
    assert not tiny_pipe.unet._forward_pre_hooks

    class Whole(OneShotSketchPipeline):
        """Guided by the formula's three branches, as upstream computes them."""

        __call__ = StableDiffusionInstructPix2PixPipeline.__call__  # type: ignore[assignment]

    whole = Whole(**tiny_pipe.components, requires_safety_checker=False)
    whole.set_progress_bar_config(disable=True)
    embeds = {"prompt_embeds": instruction.embeddings.expand(2, -1, -1)}
    negative = {"negative_prompt_embeds": tiny_pipe._negatives(None, 77).expand(2, -1, -1)}
    expected = sketches(whole, image=[photo, photo.rotate(90)], **embeds, **negative, **scales)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_ip_adapter_embeddings_follow_their_branches(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image
) -> None:
    from oneshot_sketch.pipelines.lean_unet import weighed_branches

    asked: list[Any] = []

    class Unet(nn.Module):
        def forward(self, x: torch.Tensor, t: int, **kwargs: Any) -> tuple[torch.Tensor]:
            asked.append((x, kwargs["encoder_hidden_states"], kwargs["added_cond_kwargs"]["image_embeds"][0]))
            return (x + 1,)

    unet, numbers = Unet(), torch.arange(6.0).reshape(6, 1, 1, 1)
    embeds = {"image_embeds": [numbers + 20]}
    with weighed_branches(unet, 2.0, 2.0):
        (out,) = unet(numbers, 0, encoder_hidden_states=numbers + 10, added_cond_kwargs=embeds)
    assert out.flatten().tolist() == [1, 2, 0, 0, 5, 6]
    assert [batch.flatten().tolist() for batch in asked[0]] == [[0, 1, 4, 5], [10, 11, 14, 15], [20, 21, 24, 25]]


def test_rows_are_read_once_a_call_and_to_the_bit(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_pipe.load_instruction(instruction)
    names = list(dict(tiny_pipe.unet.named_modules()))
    seen = Batches(tiny_pipe)
    drawn = sketches(tiny_pipe, image=photo, num_inference_steps=4)
    assert seen.keys == 1
    assert list(dict(tiny_pipe.unet.named_modules())) == names
    kept = sketches(tiny_pipe, image=photo, num_inference_steps=4, guidance_scale=2, image_guidance_scale=2)
    assert seen.keys == 2
    watched = {"callback_on_step_end": lambda pipe, step, time, tensors: tensors}
    np.testing.assert_array_equal(sketches(tiny_pipe, image=photo, num_inference_steps=4, **watched), drawn)
    assert seen.keys == 6  # a callback may change the rows, so every step reads them
    monkeypatch.setattr(one_shot_sketch, "rows_read_once", lambda unet: one_shot_sketch.nullcontext())
    np.testing.assert_array_equal(sketches(tiny_pipe, image=photo, num_inference_steps=4), drawn)
    again = sketches(tiny_pipe, image=photo, num_inference_steps=4, guidance_scale=2, image_guidance_scale=2)
    np.testing.assert_array_equal(again, kept)


def test_a_lora_loaded_between_two_calls_counts(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image
) -> None:
    from safetensors.torch import load
    from test_adapters import some_companion

    tiny_pipe.load_instruction(instruction)
    before = sketches(tiny_pipe, image=photo, num_inference_steps=4)
    weights = load(some_companion(tiny_pipe.unet).to_bytes())
    tiny_pipe.unet.load_lora_adapter({k.removeprefix("unet."): v for k, v in weights.items()}, prefix=None)
    assert np.abs(sketches(tiny_pipe, image=photo, num_inference_steps=4) - before).max() > 1e-3


def test_offloaded_in_groups_everything_runs(tiny_pipe: OneShotSketchPipeline) -> None:
    tiny_pipe.unet.enable_group_offload(torch.device("cpu"), torch.device("cpu"), "leaf_level")
    modules = dict(tiny_pipe.unet.named_modules())
    with rows_read_once(tiny_pipe.unet):
        assert dict(tiny_pipe.unet.named_modules()) == modules


@pytest.mark.parametrize(("scale", "texts"), [(1.0, 0), (1.5, 1)])
def test_the_empty_text_is_read_only_for_guidance(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, scale: float, texts: int
) -> None:
    tiny_pipe.load_instruction(instruction)
    read: list[Any] = []
    tiny_pipe.text_encoder.register_forward_hook(lambda *seen: read.append(seen))
    sketches(tiny_pipe, image=photo, guidance_scale=scale, image_guidance_scale=1.0)
    assert len(read) == texts
