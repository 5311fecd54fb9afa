"""What goes silently wrong in upstream's InstructPix2Pix and must not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import WIDTH, picture, random_instruction, sketches
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.guidance import two_scale_guidance
from oneshot_sketch.images import to_tensor


@pytest.fixture
def seen(tiny_pipe: OneShotSketchPipeline, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """(photo latents, rows) of each call of the UNet."""
    calls: list[tuple[Tensor, Tensor]] = []
    forward = tiny_pipe.unet.forward

    def spy(sample: Tensor, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        calls.append((sample[:, 4:].clone(), encoder_hidden_states.clone()))
        return forward(sample, *args, encoder_hidden_states=encoder_hidden_states, **kwargs)

    monkeypatch.setattr(tiny_pipe.unet, "forward", spy)
    return calls


@torch.no_grad()
def photo_latents(pipe: OneShotSketchPipeline, photo: Image.Image) -> Tensor:
    return pipe.vae.encode(to_tensor(photo)).latent_dist.mode()


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def stroke(pipe: OneShotSketchPipeline, **arguments: Any) -> np.ndarray:
    return sketches(pipe, prompt="ink", num_inference_steps=1, **arguments)


# ── a · several photos, several images each ──


def test_each_photo_keeps_its_prompt_and_its_images_lie_together(
    tiny_pipe: OneShotSketchPipeline, seen: list[tuple[Tensor, Tensor]]
) -> None:
    photos, prompts = [picture(seed=1), picture(seed=2)], ["ink", "chalk"]
    sketches(tiny_pipe, prompt=prompts, image=photos, num_images_per_prompt=2, num_inference_steps=1)
    latents, rows = seen[0]
    assert len(latents) == len(rows) == 3 * 4
    for i in range(4):
        torch.testing.assert_close(latents[i : i + 1], photo_latents(tiny_pipe, photos[i // 2]))
        torch.testing.assert_close(rows[i], tiny_pipe._rows(prompts[i // 2]))
        torch.testing.assert_close(latents[4 + i], latents[i])
    assert not latents[8:].any(), "the third group sees no photo"


@pytest.mark.parametrize("by", ["prompt", "instruction", "prompt_embeds"])
def test_a_batch_draws_what_single_calls_draw(tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, by: str) -> None:
    tiny_pipe.load_instruction(instruction)
    photos, rows = [picture(seed=1), picture(seed=2)], torch.stack([random_instruction(seed=i).embeddings for i in range(2)])
    whole = {"prompt": {"prompt": ["ink", "chalk"]}, "instruction": {}, "prompt_embeds": {"prompt_embeds": rows}}[by]
    drawn = sketches(tiny_pipe, image=photos, num_images_per_prompt=2, generator=seeds(0, 1, 2, 3), **whole)
    for i in range(4):
        one = {key: value[i // 2 : i // 2 + 1] for key, value in whole.items()}
        single = sketches(tiny_pipe, image=photos[i // 2], generator=seeds(i), **one)
        np.testing.assert_allclose(drawn[i], single[0], atol=1e-4)
    assert np.abs(drawn[:, None] - drawn[None])[~np.eye(4, dtype=bool)].max(axis=(1, 2, 3)).min() > 1e-3, "all four differ"


# ── b, c · photos that are not RGB ──


def test_transparent_photo_is_drawn_as_on_white(tiny_pipe: OneShotSketchPipeline) -> None:
    photo = picture(seed=1)
    photo.putalpha(picture(seed=2).convert("L"))
    on_white = Image.new("RGB", photo.size, "white")
    on_white.paste(photo, mask=photo.getchannel("A"))
    drawn = stroke(tiny_pipe, image=photo, resolution="photo")
    assert drawn.shape == (1, 32, 32, 3), "not decoded as if it were latents"
    np.testing.assert_allclose(drawn, stroke(tiny_pipe, image=on_white), atol=0.02)
    assert np.array_equal(drawn, stroke(tiny_pipe, image=np.asarray(photo)))


def test_nothing_of_what_full_transparency_hides_is_drawn(tiny_pipe: OneShotSketchPipeline) -> None:
    photo = picture()
    photo.putalpha(0)
    white = Image.new("RGB", photo.size, "white")
    assert np.array_equal(stroke(tiny_pipe, image=photo), stroke(tiny_pipe, image=white))


def test_latents_are_not_taken_for_a_photo(tiny_pipe: OneShotSketchPipeline) -> None:
    for image in (torch.zeros(1, 4, 16, 16), [torch.zeros(4, 16, 16)]):
        with pytest.raises(InputError, match=r"\(B, 3, H, W\)"):
            stroke(tiny_pipe, image=image)


def grey_photos() -> dict[str, Image.Image]:
    grey = picture(seed=3).convert("L")
    levels = np.asarray(grey)
    return {
        "L": grey,
        "LA": Image.merge("LA", (grey, Image.new("L", grey.size, 255))),
        "16 bits": Image.fromarray(levels.astype(np.uint16) * 257),
        "32 bits": Image.fromarray(levels.astype(np.int32) * 257),
        "palette": grey.convert("P"),
    }


@pytest.mark.parametrize("kind", grey_photos())
def test_grey_photo_of_any_depth_is_drawn_as_rgb(tiny_pipe: OneShotSketchPipeline, kind: str) -> None:
    drawn = stroke(tiny_pipe, image=grey_photos()[kind])
    assert np.array_equal(drawn, stroke(tiny_pipe, image=grey_photos()["L"].convert("RGB")))


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "YCbCr", "HSV"])
def test_photo_of_any_colour_mode_is_drawn_as_rgb(tiny_pipe: OneShotSketchPipeline, mode: str) -> None:
    photo = picture(seed=3).convert(mode)
    drawn = stroke(tiny_pipe, image=photo)
    assert np.array_equal(drawn, stroke(tiny_pipe, image=photo.convert("RGB")))


def test_sixteen_bit_png_is_drawn_at_its_tones(tiny_pipe: OneShotSketchPipeline, tmp_path: Path) -> None:
    grey_photos()["16 bits"].save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as photo:
        drawn = stroke(tiny_pipe, image=photo)
    assert np.array_equal(drawn, stroke(tiny_pipe, image=grey_photos()["L"]))


def test_arrays_and_tensors_are_drawn_as_the_picture_they_hold(tiny_pipe: OneShotSketchPipeline) -> None:
    photos = [picture(seed=1), picture(seed=2)]
    expected = stroke(tiny_pipe, image=photos)
    signed, stack = to_tensor(photos), np.stack([np.asarray(photo) for photo in photos])
    kinds = {
        "tensor in [-1, 1]": signed,
        "tensor in [0, 1]": signed / 2 + 0.5,
        "half": (signed / 2 + 0.5).double(),
        "list of tensors in [-1, 1]": list(signed),
        "list of tensors in [0, 1]": list(signed / 2 + 0.5),
        "list of (1, 3, H, W)": list(signed.split(1)),
        "uint8 array": stack,
        "float array": stack.astype(np.float32) / 255,
        "list of arrays": list(stack),
        "mixed": [photos[0], stack[1]],
    }
    for kind, image in kinds.items():
        assert np.array_equal(stroke(tiny_pipe, image=image), expected), kind


@pytest.mark.parametrize(
    "image", [torch.zeros(1, 3, 32, 32, dtype=torch.uint8), [torch.zeros(2, 3, 32, 32)], np.zeros((32, 32), np.int64)]
)
def test_what_could_be_misread_is_refused(tiny_pipe: OneShotSketchPipeline, image: Any) -> None:
    with pytest.raises(InputError, match="must be|is needed"):
        stroke(tiny_pipe, image=image)


# ── d · one instruction, many photos ──


def test_one_instruction_and_one_prompt_serve_every_photo(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction
) -> None:
    photos = [picture(seed=i) for i in range(3)]
    tiny_pipe.load_instruction(instruction)
    for given in ({"text": "hat"}, {"prompt": "ink"}, {"prompt": ["ink"]}):
        drawn = sketches(tiny_pipe, image=photos, generator=seeds(0, 1, 2), num_inference_steps=1, **given)
        last = sketches(tiny_pipe, image=photos[2], generator=seeds(2), num_inference_steps=1, **given)
        assert drawn.shape == (3, 32, 32, 3)
        np.testing.assert_allclose(drawn[2:], last, atol=1e-4)


# ── e · guidance ──


@pytest.mark.parametrize("scale", [0.99, 0.0, -1.0])
def test_image_scale_below_one_is_refused(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, scale: float) -> None:
    with pytest.raises(InputError, match="image_guidance_scale"):
        sketches(tiny_pipe, prompt="ink", image=photo, image_guidance_scale=scale)


@pytest.mark.parametrize("scales", [(1.0, 1.5), (7.5, 1.0), (0.0, 2.0), (7.5, 1.5), (1.0, 1.0)])
def test_one_step_is_two_scale_guidance(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, scales: tuple[float, float]
) -> None:
    text_scale, image_scale = scales
    tiny_pipe.scheduler = DDIMScheduler.from_config(tiny_pipe.scheduler.config, clip_sample=False)
    tiny_pipe.load_instruction(instruction)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    drawn = tiny_pipe(
        image=photo,
        num_inference_steps=1,
        guidance_scale=text_scale,
        image_guidance_scale=image_scale,
        latents=noise,
        output_type="latent",
    ).images

    z_p, learned, empty = photo_latents(tiny_pipe, photo), instruction.embeddings[None], tiny_pipe._rows("")[None]
    tiny_pipe.scheduler.set_timesteps(1)
    (t,) = tiny_pipe.scheduler.timesteps
    with torch.no_grad():
        full, seen, nothing = (
            tiny_pipe.unet(torch.cat([noise, z], 1), t, rows).sample
            for z, rows in [(z_p, learned), (z_p, empty), (torch.zeros_like(z_p), empty)]
        )
    expected = two_scale_guidance(full, seen, nothing, text_scale, image_scale)
    guided, unguided = (tiny_pipe.scheduler.step(e, t, noise).prev_sample for e in (expected, full))
    effect, error = (guided - unguided).abs().max(), (guided - drawn).abs().max()
    assert error < 0.01 * effect if scales != (1.0, 1.0) else error < 1e-4


def test_without_any_guidance_the_network_runs_once(
    tiny_pipe: OneShotSketchPipeline, seen: list[tuple[Tensor, Tensor]], photo: Image.Image
) -> None:
    sketches(tiny_pipe, prompt="ink", image=photo, guidance_scale=1, image_guidance_scale=1, num_inference_steps=1)
    assert [len(latents) for latents, _ in seen] == [1]


# ── f · misspelling ──


@pytest.mark.parametrize("name", ["strenght", "num_inference_step", "callback", "clip_skip"])
def test_unknown_argument_is_refused(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        tiny_pipe("ink", photo, **{name: 1})  # type: ignore[arg-type]


# ── g · lengths ──


def test_instruction_with_text_is_as_long_as_the_empty_prompt(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, seen: list[tuple[Tensor, Tensor]], photo: Image.Image
) -> None:
    tiny_pipe.load_instruction(instruction)
    for text in ("hat", "a" * 60, "a" * 200):
        sketches(tiny_pipe, image=photo, text=text, num_inference_steps=1)
    assert {rows.shape for _, rows in seen} == {(3, 77, WIDTH)}


@pytest.mark.parametrize("length", [40, 77, 100, 154])
def test_embeddings_of_any_length_draw(
    tiny_pipe: OneShotSketchPipeline, seen: list[tuple[Tensor, Tensor]], photo: Image.Image, length: int
) -> None:
    rows = torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(0))
    sketches(tiny_pipe, image=photo, prompt_embeds=rows[:1], negative_prompt_embeds=rows[1:], num_inference_steps=1)
    assert torch.equal(seen[-1][1], rows[[0, 1, 1]])
    sketches(tiny_pipe, image=photo, prompt_embeds=rows[:1], num_inference_steps=1)
    empty = tiny_pipe._rows("")
    assert torch.equal(seen[-1][1][1], torch.cat([empty, empty])[:length])
