"""What goes silently wrong in upstream's InstructPix2Pix and must not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import WIDTH, picture, random_instruction, sketches
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import IPAdapterAttnProcessor
from diffusers.models.embeddings import ImageProjection
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.backbone import fingerprint
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
    drawn = sketches(tiny_pipe, prompt="ink", image=photo, resolution="photo")
    assert drawn.shape == (1, 32, 32, 3), "not decoded as if it were latents"
    np.testing.assert_allclose(drawn, sketches(tiny_pipe, prompt="ink", image=on_white), atol=0.02)
    assert np.array_equal(drawn, sketches(tiny_pipe, prompt="ink", image=np.asarray(photo)))


def test_nothing_of_what_full_transparency_hides_is_drawn(tiny_pipe: OneShotSketchPipeline) -> None:
    photo = picture()
    photo.putalpha(0)
    white = Image.new("RGB", photo.size, "white")
    assert np.array_equal(sketches(tiny_pipe, prompt="ink", image=photo), sketches(tiny_pipe, prompt="ink", image=white))


def test_latents_are_not_taken_for_a_photo(tiny_pipe: OneShotSketchPipeline) -> None:
    for image in (torch.zeros(1, 4, 16, 16), [torch.zeros(4, 16, 16)]):
        with pytest.raises(InputError, match=r"\(B, 3, H, W\)"):
            sketches(tiny_pipe, prompt="ink", image=image)


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
    drawn = sketches(tiny_pipe, prompt="ink", image=grey_photos()[kind])
    assert np.array_equal(drawn, sketches(tiny_pipe, prompt="ink", image=grey_photos()["L"].convert("RGB")))


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "YCbCr", "HSV"])
def test_photo_of_any_colour_mode_is_drawn_as_rgb(tiny_pipe: OneShotSketchPipeline, mode: str) -> None:
    photo = picture(seed=3).convert(mode)
    drawn = sketches(tiny_pipe, prompt="ink", image=photo)
    assert np.array_equal(drawn, sketches(tiny_pipe, prompt="ink", image=photo.convert("RGB")))


def test_sixteen_bit_png_is_drawn_at_its_tones(tiny_pipe: OneShotSketchPipeline, tmp_path: Path) -> None:
    grey_photos()["16 bits"].save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as photo:
        drawn = sketches(tiny_pipe, prompt="ink", image=photo)
    assert np.array_equal(drawn, sketches(tiny_pipe, prompt="ink", image=grey_photos()["L"]))


def test_arrays_and_tensors_are_drawn_as_the_picture_they_hold(tiny_pipe: OneShotSketchPipeline) -> None:
    photos = [picture(seed=1), picture(seed=2)]
    expected = sketches(tiny_pipe, prompt="ink", image=photos)
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
        assert np.array_equal(sketches(tiny_pipe, prompt="ink", image=image), expected), kind


@pytest.mark.parametrize(
    "image", [torch.zeros(1, 3, 32, 32, dtype=torch.uint8), [torch.zeros(2, 3, 32, 32)], np.zeros((32, 32), np.int64)]
)
def test_what_could_be_misread_is_refused(tiny_pipe: OneShotSketchPipeline, image: Any) -> None:
    with pytest.raises(InputError, match="must be|is needed"):
        sketches(tiny_pipe, prompt="ink", image=image)


# ── d · one instruction, many photos ──


def test_one_instruction_and_one_prompt_serve_every_photo(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction
) -> None:
    photos = [picture(seed=i) for i in range(3)]
    tiny_pipe.load_instruction(instruction)
    for given in ({}, {"prompt": "ink"}, {"prompt": ["ink"]}, {"text": "hat"}):
        drawn = sketches(tiny_pipe, image=photos, generator=seeds(0, 1, 2), **given)
        for i, photo in enumerate(photos):
            np.testing.assert_allclose(drawn[i], sketches(tiny_pipe, image=photo, generator=seeds(i), **given)[0], atol=1e-4)


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
    tiny_pipe.scheduler = DDIMScheduler.from_config(tiny_pipe.scheduler.config)
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
    torch.testing.assert_close(drawn, tiny_pipe.scheduler.step(expected, t, noise).prev_sample, atol=1e-4, rtol=1e-4)
    unguided = tiny_pipe.scheduler.step(full, t, noise).prev_sample
    assert ((drawn - unguided).abs().max() > 1e-2) == (scales != (1.0, 1.0))


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


# ── h · IP-adapter ──


@pytest.fixture
def adapted(tiny_pipe: OneShotSketchPipeline) -> OneShotSketchPipeline:
    """With an IP-adapter of random weights, laid out as diffusers' own tests do."""
    torch.manual_seed(0)
    weights: dict[str, Tensor] = {}
    for name in tiny_pipe.unet.attn_processors:
        if name.endswith("attn2.processor"):
            processor = IPAdapterAttnProcessor(hidden_size=16, cross_attention_dim=WIDTH).state_dict()
            key = 2 * len(weights) // 2 + 1
            weights |= {
                f"{key}.to_k_ip.weight": processor["to_k_ip.0.weight"],
                f"{key}.to_v_ip.weight": processor["to_v_ip.0.weight"],
            }
    projection = ImageProjection(image_embed_dim=WIDTH, cross_attention_dim=WIDTH, num_image_text_embeds=4).state_dict()
    projection = {key.replace("image_embeds", "proj"): value for key, value in projection.items()}
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=WIDTH,
        initializer_factor=10.0,
    )
    extractor = CLIPImageProcessor(size=16, crop_size=16)
    tiny_pipe.register_modules(image_encoder=CLIPVisionModelWithProjection(vision), feature_extractor=extractor)
    tiny_pipe.load_ip_adapter({"image_proj": projection, "ip_adapter": weights}, subfolder="", weight_name="tiny")
    tiny_pipe.set_ip_adapter_scale(1.0)
    return tiny_pipe


def image_embeds(pipe: OneShotSketchPipeline, image: Image.Image) -> list[Tensor]:
    """As the diffusers guide to IP-adapters prepares them."""
    return pipe.prepare_ip_adapter_image_embeds(
        ip_adapter_image=image,
        ip_adapter_image_embeds=None,
        device=torch.device("cpu"),
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
    )


def test_ip_adapter_image_draws_what_its_embeddings_alone_draw(
    adapted: OneShotSketchPipeline, instruction: LearnedInstruction
) -> None:
    adapted.load_instruction(instruction)
    photos = [picture(seed=1), picture(seed=2)]
    by_image = sketches(adapted, image=photos, ip_adapter_image=picture(seed=5))
    embeds = image_embeds(adapted, picture(seed=5))
    assert embeds[0].shape == (3, 1, WIDTH)
    assert np.array_equal(by_image, sketches(adapted, image=photos, ip_adapter_image_embeds=embeds))
    other = image_embeds(adapted, picture(seed=6))
    assert not np.array_equal(by_image, sketches(adapted, image=photos, ip_adapter_image_embeds=other))


def test_ip_adapter_image_and_embeddings_together_are_refused_as_upstream(
    adapted: OneShotSketchPipeline, photo: Image.Image
) -> None:
    with pytest.raises(ValueError, match="ip_adapter_image"):
        sketches(adapted, prompt="ink", image=photo, ip_adapter_image=photo, ip_adapter_image_embeds=image_embeds(adapted, photo))


def test_instruction_fits_its_backbone_with_an_adapter_on(adapted: OneShotSketchPipeline, tiny_backbone: Path) -> None:
    bare = OneShotSketchPipeline.from_pretrained(tiny_backbone)
    adapted.load_instruction(random_instruction(fingerprint=fingerprint(bare.unet, bare.text_encoder)))


def test_missing_xformers_leaves_the_ip_adapter(adapted: OneShotSketchPipeline, photo: Image.Image) -> None:
    embeds = image_embeds(adapted, picture(seed=5))
    before = sketches(adapted, prompt="ink", image=photo, ip_adapter_image_embeds=embeds)
    adapted.enable_xformers_memory_efficient_attention()
    assert np.array_equal(before, sketches(adapted, prompt="ink", image=photo, ip_adapter_image_embeds=embeds))


def test_unloading_the_ip_adapter_restores_the_pipeline(
    adapted: OneShotSketchPipeline, tiny_backbone: Path, photo: Image.Image
) -> None:
    adapted.unload_ip_adapter()
    bare = OneShotSketchPipeline.from_pretrained(tiny_backbone)
    assert np.array_equal(sketches(adapted, prompt="ink", image=photo), sketches(bare, prompt="ink", image=photo))
