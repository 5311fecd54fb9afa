"""Drawing: as upstream draws, with which words, at which size, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture, random_instruction, sketches
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image
from torch import Tensor

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline


@pytest.fixture
def stock(tiny_backbone: Path) -> StableDiffusionInstructPix2PixPipeline:
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(tiny_backbone)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def text_rows(pipe: OneShotSketchPipeline, text: str) -> Tensor:
    """(77, d), what the text encoder makes of a text."""
    ids = pipe.tokenizer(text, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        return pipe.text_encoder(ids)[0][0]


# ── the same pictures as upstream ──


@pytest.mark.parametrize("scales", [(7.5, 1.5), (3.0, 1.0)])
def test_instruction_draws_what_the_stock_pipeline_draws_from_its_embeddings(
    tiny_pipe: OneShotSketchPipeline,
    stock: StableDiffusionInstructPix2PixPipeline,
    instruction: LearnedInstruction,
    scales: tuple[float, float],
) -> None:
    photo = picture(40, 24)
    given = {"guidance_scale": scales[0], "image_guidance_scale": scales[1]}
    ours = sketches(tiny_pipe.load_instruction(instruction), image=photo, resolution="photo", **given)
    theirs = sketches(stock, image=photo, prompt_embeds=instruction.embeddings[None], **given)
    assert ours.shape == (1, 24, 40, 3)
    if scales[1] > 1:
        assert np.array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)  # a branch less sums in another order


def test_prompt_draws_what_the_stock_pipeline_draws(
    tiny_pipe: OneShotSketchPipeline, stock: StableDiffusionInstructPix2PixPipeline, photo: Image.Image
) -> None:
    for given in ({}, {"negative_prompt": "colour"}):
        ours = sketches(tiny_pipe, prompt="a pencil sketch", image=photo, guidance_scale=7.5, image_guidance_scale=1.5, **given)
        assert np.array_equal(ours, sketches(stock, prompt="a pencil sketch", image=photo, **given))


def test_several_prompts_draw_what_the_stock_pipeline_draws(
    tiny_pipe: OneShotSketchPipeline, stock: StableDiffusionInstructPix2PixPipeline
) -> None:
    given = {"prompt": ["ink", "chalk"], "image": [picture(seed=1), picture(seed=2)], "negative_prompt": ["red", "blue"]}
    assert np.array_equal(sketches(tiny_pipe, **given), sketches(stock, **given))


# ── text beside the instruction ──


@pytest.mark.parametrize("layout", ["compact", "visii"])
def test_text_draws_by_the_hybrid_rows(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, layout: Any
) -> None:
    tiny_pipe.load_instruction(instruction)
    hybrid = instruction.with_text(text_rows(tiny_pipe, "hat"), 4, layout)
    drawn = sketches(tiny_pipe, image=photo, text="hat", text_layout=layout)
    assert np.array_equal(drawn, sketches(tiny_pipe, image=photo, prompt_embeds=hybrid[None]))
    assert not np.array_equal(drawn, sketches(tiny_pipe, image=photo))


def test_over_long_text_is_reported_and_drawn(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_pipe.load_instruction(instruction)
    sketches(tiny_pipe, image=photo, text="a" * 60)
    assert not caplog.records
    assert sketches(tiny_pipe, image=photo, text="a" * 100).shape == (1, 32, 32, 3)
    assert "102 tokens, more than the 77" in caplog.text


def test_text_that_fits_alone_but_not_beside_the_instruction_is_reported(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    sketches(tiny_pipe.load_instruction(instruction), image=photo, text="a" * 70)
    assert "too long beside the instruction" in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": "ink", "text": "hat"},
        {"prompt": "ink", "prompt_embeds": torch.zeros(1, 77, 32)},
        {"text": "hat", "prompt_embeds": torch.zeros(1, 77, 32)},
    ],
)
def test_two_ways_to_say_it_are_refused(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, given: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="give one"):
        sketches(tiny_pipe.load_instruction(instruction), image=photo, **given)


@pytest.mark.parametrize("source", ["instruction", "prompt", "prompt_embeds"])
def test_negative_prompt_is_heard_however_the_instruction_is_given(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, source: str
) -> None:
    tiny_pipe.load_instruction(instruction)
    given = {"instruction": {}, "prompt": {"prompt": "ink"}, "prompt_embeds": {"prompt_embeds": instruction.embeddings[None]}}[
        source
    ]
    given |= {"image": [picture(seed=1), picture(seed=2)]}
    rows = text_rows(tiny_pipe, "colour")[None]
    by_words = sketches(tiny_pipe, negative_prompt="colour", **given)
    np.testing.assert_allclose(by_words, sketches(tiny_pipe, negative_prompt_embeds=rows, **given), atol=1e-5)
    assert np.abs(by_words - sketches(tiny_pipe, **given)).max() > 1e-4
    each = sketches(tiny_pipe, negative_prompt=["colour", ""], **given)
    np.testing.assert_allclose(each[0], by_words[0], atol=1e-5)
    assert np.abs(each[1] - by_words[1]).max() > 1e-4


# ── what is refused ──


def test_nothing_to_draw_by_is_refused(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    for given in ({}, {"text": "hat"}):
        with pytest.raises(InputError, match="nothing to draw by"):
            sketches(tiny_pipe, image=photo, **given)


@pytest.mark.parametrize("image", [None, [], ()])
def test_no_photo_is_refused(tiny_pipe: OneShotSketchPipeline, image: Any) -> None:
    with pytest.raises(InputError, match="no photo"):
        sketches(tiny_pipe, prompt="ink", image=image)


@pytest.mark.parametrize(
    "image",
    [
        np.full((32, 32, 3), np.nan, np.float32),
        torch.full((1, 3, 32, 32), torch.nan),
        torch.zeros(1, 3, 32, 32).index_fill(3, torch.tensor([5]), torch.inf),
        [torch.full((3, 32, 32), torch.nan)],
    ],
)
def test_nan_is_refused(tiny_pipe: OneShotSketchPipeline, image: Any) -> None:
    with pytest.raises(InputError, match="NaN"):
        sketches(tiny_pipe, prompt="ink", image=image)


@pytest.mark.parametrize("image", ["photo.png", Path("photo.png"), ["photo.png"], 3])
def test_what_is_no_picture_is_refused(tiny_pipe: OneShotSketchPipeline, image: Any) -> None:
    with pytest.raises(InputError, match="photo"):
        sketches(tiny_pipe, prompt="ink", image=image)


def test_photos_of_different_shapes_are_refused(tiny_pipe: OneShotSketchPipeline) -> None:
    with pytest.raises(InputError, match="differ in shape"):
        sketches(tiny_pipe, prompt="ink", image=[picture(32, 32), picture(48, 24)])
    assert len(sketches(tiny_pipe, prompt="ink", image=[picture(32, 32), picture(64, 64)])) == 2, "one shape, two sizes"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_inference_steps", 0),
        ("num_images_per_prompt", 0),
        ("guidance_scale", -1.0),
        ("guidance_scale", float("nan")),
        ("image_guidance_scale", float("nan")),
    ],
)
def test_nonsense_is_refused_by_name(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        tiny_pipe("ink", photo, **{name: value})


@pytest.mark.parametrize("given", [{"prompt": ["a", "b", "c"]}, {"prompt": []}, {"prompt_embeds": torch.zeros(3, 77, 32)}])
def test_as_many_prompts_as_photos(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="for 2 photos"):
        sketches(tiny_pipe, image=[photo, photo], **given)


# ── size ──


@pytest.mark.parametrize(("resolution", "size"), [("native", (48, 24)), ("photo", (96, 48)), (64, (88, 48)), (64.0, (88, 48))])
def test_resolution_keeps_the_shape(tiny_pipe: OneShotSketchPipeline, resolution: Any, size: tuple[int, int]) -> None:
    drawn = tiny_pipe("ink", picture(100, 50), num_inference_steps=1, resolution=resolution)
    assert drawn.images[0].size == size
    assert drawn.settings["size"] == list(size)


@pytest.mark.parametrize("resolution", ["big", 0, -64, True, None, float("nan"), float("inf"), [32]])
def test_nonsense_resolution_is_refused(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, resolution: Any) -> None:
    with pytest.raises(InputError, match="resolution"):
        sketches(tiny_pipe, prompt="ink", image=photo, resolution=resolution)


# ── what comes out ──


def test_settings_travel_in_the_png(
    tiny_pipe: OneShotSketchPipeline, tiny_backbone: Path, photo: Image.Image, tmp_path: Path
) -> None:
    tiny_pipe.load_instruction(random_instruction(seed=1), "ink").load_instruction(random_instruction(seed=2), "chalk")
    tiny_pipe.set_instruction(["ink", "chalk"], [1, 3])
    output = tiny_pipe(
        image=photo,
        text="hat",
        negative_prompt="red",
        num_inference_steps=1,
        instruction_scale=np.float32(0.5),  # type: ignore[arg-type]
        num_images_per_prompt=2,
        generator=torch.Generator().manual_seed(7),
    )
    expected = {
        "backbone": str(tiny_backbone),
        "instruction": {"ink": 1.0, "chalk": 3.0},
        "prompt": None,
        "text": "hat",
        "text_layout": "compact",
        "negative_prompt": "red",
        "num_inference_steps": 1,
        "guidance_scale": 7.5,
        "image_guidance_scale": 1.5,
        "instruction_scale": 0.5,
        "eta": 0.0,
        "scheduler": "EulerAncestralDiscreteScheduler",
        "size": [32, 32],
        "num_images_per_prompt": 2,
        "seed": 7,
    }
    assert output.settings == expected
    output.save(tmp_path / "sketch.png", index=1)
    with Image.open(tmp_path / "sketch.png") as saved:
        assert json.loads(saved.text["oneshot_sketch"]) == expected  # type: ignore[attr-defined]
        assert saved.tobytes() == output.images[1].tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["sketch.png"]


def test_settings_of_a_prompt_name_no_instruction(tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction) -> None:
    tiny_pipe.load_instruction(instruction, "ink")
    generators = [torch.Generator().manual_seed(i) for i in range(4)]
    settings = tiny_pipe(
        "ünïcode", [picture(), picture()], num_inference_steps=1, num_images_per_prompt=2, generator=generators
    ).settings
    assert (settings["prompt"], settings["instruction"], settings["seed"]) == ("ünïcode", None, [0, 1, 2, 3])
    assert tiny_pipe("ink", picture(), num_inference_steps=1).settings["seed"] is None
    json.dumps(settings)


def test_arrays_are_not_saved_as_png(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, tmp_path: Path) -> None:
    output = tiny_pipe("ink", photo, num_inference_steps=1, output_type="np")
    with pytest.raises(InputError, match='output_type="pil"'):
        output.save(tmp_path / "sketch.png")
    assert not list(tmp_path.iterdir())


def test_same_seed_same_bytes_whatever_the_global_state(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image
) -> None:
    tiny_pipe.load_instruction(instruction)
    torch.manual_seed(1)
    first = sketches(tiny_pipe, image=photo)
    torch.manual_seed(2)
    assert np.array_equal(first, sketches(tiny_pipe, image=photo))
    assert not np.array_equal(first, sketches(tiny_pipe, image=photo, seed=1))


def test_drawing_leaves_no_gradients(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image
) -> None:
    weights = [p for part in tiny_pipe.components.values() if isinstance(part, torch.nn.Module) for p in part.parameters()]
    flags = [p.requires_grad for p in weights]
    with torch.enable_grad():
        rows = instruction.embeddings[None].clone().requires_grad_()
        drawn = tiny_pipe(image=photo, prompt_embeds=rows, num_inference_steps=1, output_type="pt").images
        by_instruction = tiny_pipe.load_instruction(instruction)(image=photo, num_inference_steps=1, output_type="pt").images
    assert not drawn.requires_grad
    assert not by_instruction.requires_grad
    assert rows.grad is None
    assert all(p.grad is None for p in weights)
    assert [p.requires_grad for p in weights] == flags, "as the caller left them"
