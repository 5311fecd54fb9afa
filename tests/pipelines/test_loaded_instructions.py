"""Instructions are loaded, chosen, blended and unloaded by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_instruction, sketches
from PIL import Image

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.backbone import fingerprint


def snapshot(pipe: OneShotSketchPipeline) -> dict[str, Any]:
    """Everything a registered component is made of."""
    found: dict[str, Any] = {"config": dict(pipe.config)}
    for name, component in pipe.components.items():
        found[name] = (id(component), repr(component), sorted(vars(component)) if component is not None else None)
        if isinstance(component, torch.nn.Module):
            weights = {key: (value.data_ptr(), value.sum().item()) for key, value in component.state_dict().items()}
            found[f"{name} weights"] = weights
            found[f"{name} flags"] = {key: (p.requires_grad, p.grad) for key, p in component.named_parameters()}
    return found


def test_the_instruction_loaded_last_draws(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, tmp_path: Path) -> None:
    ink, chalk = random_instruction(seed=1), random_instruction(seed=2)
    ink.save_pretrained(tmp_path / "soft ink")
    tiny_pipe.load_instruction(tmp_path / "soft ink").load_instruction(chalk, name="chalk")
    assert list(tiny_pipe.instructions) == ["soft ink", "chalk"]
    by_chalk = sketches(tiny_pipe, image=photo)
    assert np.array_equal(by_chalk, sketches(tiny_pipe, image=photo, prompt_embeds=chalk.embeddings[None]))
    tiny_pipe.set_instruction("soft ink")
    by_ink = sketches(tiny_pipe, image=photo)
    assert np.array_equal(by_ink, sketches(tiny_pipe, image=photo, prompt_embeds=ink.embeddings[None]))
    assert not np.array_equal(by_ink, by_chalk)


def test_weights_blend_as_learned_instructions_do(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    ink, chalk, wash = (random_instruction(seed=i) for i in range(3))
    tiny_pipe.load_instruction(ink, "ink").load_instruction(chalk, "chalk").load_instruction(wash, "wash")
    tiny_pipe.set_instruction(["ink", "chalk"], [1, 3])
    assert torch.equal(tiny_pipe.instruction.embeddings, ink.blend(chalk, 0.75).embeddings)
    blended = sketches(tiny_pipe, image=photo)
    assert np.array_equal(blended, sketches(tiny_pipe, image=photo, prompt_embeds=ink.blend(chalk, 0.75).embeddings[None]))
    tiny_pipe.set_instruction(["ink", "chalk"])
    assert torch.equal(tiny_pipe.instruction.embeddings, ink.blend(chalk).embeddings)
    tiny_pipe.set_instruction(["ink", "chalk", "wash"], [0.2, 0.3, 0.5])
    expected = 0.2 * ink.embeddings + 0.3 * chalk.embeddings + 0.5 * wash.embeddings
    torch.testing.assert_close(tiny_pipe.instruction.embeddings, expected)
    tiny_pipe.set_instruction(["ink", "chalk"], [0, 2])
    assert torch.equal(tiny_pipe.instruction.embeddings, chalk.embeddings)


def test_unloading_restores_the_pipeline(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    plain, parts = sketches(tiny_pipe, prompt="a pencil sketch", image=photo), snapshot(tiny_pipe)
    tiny_pipe.load_instruction(random_instruction(seed=1), "ink").load_instruction(random_instruction(seed=2), "chalk")
    assert not np.array_equal(sketches(tiny_pipe, image=photo), plain)
    tiny_pipe.unload_instruction("chalk")
    assert tiny_pipe.instruction is None
    assert list(tiny_pipe.instructions) == ["ink"]
    tiny_pipe.set_instruction("ink")
    tiny_pipe.unload_instruction()
    assert not tiny_pipe.instructions
    with pytest.raises(InputError, match="load_instruction"):
        sketches(tiny_pipe, image=photo)
    assert np.array_equal(sketches(tiny_pipe, prompt="a pencil sketch", image=photo), plain)
    after = snapshot(tiny_pipe)
    after["scheduler"] = parts["scheduler"]  # upstream's own state: the timesteps of the last drawing
    assert after == parts


def test_unloading_one_of_a_blend_leaves_the_other(tiny_pipe: OneShotSketchPipeline) -> None:
    ink, chalk = random_instruction(seed=1), random_instruction(seed=2)
    tiny_pipe.load_instruction(ink, "ink").load_instruction(chalk, "chalk").set_instruction(["ink", "chalk"])
    tiny_pipe.unload_instruction("ink")
    assert torch.equal(tiny_pipe.instruction.embeddings, chalk.embeddings)


def test_unknown_names_are_refused_with_the_known(tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction) -> None:
    tiny_pipe.load_instruction(instruction, "ink")
    with pytest.raises(InputError, match="'oil'.*ink"):
        tiny_pipe.set_instruction("oil")
    with pytest.raises(InputError, match="'oil'.*ink"):
        tiny_pipe.unload_instruction("oil")
    assert torch.equal(tiny_pipe.instruction.embeddings, instruction.embeddings)


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [-1, 2], [0, 0], [float("nan"), 1], [float("inf"), 1]])
def test_weights_must_fit_the_names(tiny_pipe: OneShotSketchPipeline, weights: list[float]) -> None:
    tiny_pipe.load_instruction(random_instruction(seed=1), "ink").load_instruction(random_instruction(seed=2), "chalk")
    with pytest.raises(InputError, match="weight"):
        tiny_pipe.set_instruction(["ink", "chalk"], weights)


def test_no_names_are_refused(tiny_pipe: OneShotSketchPipeline) -> None:
    with pytest.raises(InputError, match="weight"):
        tiny_pipe.set_instruction([])


@pytest.mark.parametrize("shape", [(77, 16), (50, 32)])
def test_instruction_of_another_shape_is_refused(tiny_pipe: OneShotSketchPipeline, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"{shape[0]}×{shape[1]}.*77×32"):
        tiny_pipe.load_instruction(random_instruction(*shape))
    assert not tiny_pipe.instructions


def test_instruction_of_an_earlier_edition_is_taken_with_a_warning(
    tiny_pipe: OneShotSketchPipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = fingerprint(tiny_pipe.unet, tiny_pipe.text_encoder)
    monkeypatch.setattr("oneshot_sketch.pipelines.instructions.PREDECESSORS", {own: ("1" * 16,)})
    tiny_pipe.load_instruction(random_instruction(fingerprint="1" * 16))
    assert "earlier edition" in caplog.text
    with pytest.raises(InputError, match="other weights"):
        tiny_pipe.load_instruction(random_instruction(fingerprint="2" * 16))


def test_instruction_of_other_weights_is_refused(tiny_pipe: OneShotSketchPipeline) -> None:
    with pytest.raises(InputError, match="other weights"):
        tiny_pipe.load_instruction(random_instruction(fingerprint="0" * 16))
    tiny_pipe.load_instruction(random_instruction(fingerprint=fingerprint(tiny_pipe.unet, tiny_pipe.text_encoder)))


def test_instruction_scale_is_its_strength(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image
) -> None:
    tiny_pipe.load_instruction(instruction)
    for scale in (0.5, 1.5):
        expected = sketches(tiny_pipe, image=photo, prompt_embeds=instruction.strength(scale).embeddings[None])
        assert np.array_equal(sketches(tiny_pipe, image=photo, instruction_scale=scale), expected)
    nothing = sketches(tiny_pipe, image=photo, prompt_embeds=instruction.neutral[None])
    assert np.array_equal(sketches(tiny_pipe, image=photo, instruction_scale=0), nothing)


def test_instruction_brings_its_own_drawing_arguments(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    instruction = random_instruction()
    drawing = {"num_inference_steps": 3, "guidance_scale": 2.0}
    instruction.record = replace(instruction.record, drawing=drawing)
    settings = tiny_pipe.load_instruction(instruction)(image=photo).settings
    assert [settings[key] for key in ("num_inference_steps", "guidance_scale", "image_guidance_scale")] == [3, 2.0, 1.5]
    settings = tiny_pipe(image=photo, num_inference_steps=1, guidance_scale=4).settings
    assert [settings["num_inference_steps"], settings["guidance_scale"]] == [1, 4.0]
