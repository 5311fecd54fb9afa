"""A call asks once where it runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import sketches
from diffusers import DiffusionPipeline
from PIL import Image

from oneshot_sketch import LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.errors import InputError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows with every search of upstream's through the modules."""
    seen: list[Any] = []

    def search(pipe: DiffusionPipeline) -> torch.device:
        seen.append(pipe)
        return pipe.device

    monkeypatch.setattr(DiffusionPipeline, "_execution_device", property(search))
    return seen


def test_a_call_searches_once(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, asked: list[Any]
) -> None:
    tiny_pipe.load_instruction(instruction)
    for calls in (1, 2):
        sketches(tiny_pipe, image=photo, guidance_scale=3.0, image_guidance_scale=1.5)
        assert len(asked) == calls


def test_a_call_that_fails_remembers_nothing(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, asked: list[Any]
) -> None:
    tiny_pipe.load_instruction(instruction)
    with pytest.raises(InputError):
        tiny_pipe(image=photo, num_inference_steps=0)
    assert tiny_pipe._execution_device == torch.device("cpu")
    assert len(asked) == 2


def test_a_pipeline_moved_between_calls_draws_where_it_is(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    sketches(tiny_pipe, image=photo, prompt="a sketch")
    assert tiny_pipe.to("meta")._execution_device == torch.device("meta")
