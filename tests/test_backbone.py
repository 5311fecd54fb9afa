from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel

from oneshot_sketch import FrozenInstructPix2Pix, InputError
from oneshot_sketch.backbone import fingerprint
from oneshot_sketch.guidance import two_scale_guidance


def test_nothing_is_trainable(tiny_frozen: FrozenInstructPix2Pix) -> None:
    modules = (tiny_frozen.vae, tiny_frozen.unet, tiny_frozen.text_encoder)
    assert not any(p.requires_grad for module in modules for p in module.parameters())
    assert not any(module.training for module in modules)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noise_and_target_are_the_reference_schedulers(tiny_backbone: Path, kind: str) -> None:
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(tiny_backbone)
    pipe.scheduler.register_to_config(prediction_type=kind)
    frozen = FrozenInstructPix2Pix(pipe, "tiny")
    reference = DDPMScheduler.from_config(pipe.scheduler.config)
    z, noise = torch.randn(2, 3, 4, 8, 8)
    t = torch.tensor([0, 400, 999])
    torch.testing.assert_close(frozen.add_noise(z, noise, t), reference.add_noise(z, noise, t))
    expected = noise if kind == "epsilon" else reference.get_velocity(z, noise, t)
    torch.testing.assert_close(frozen.target(z, noise, t), expected)


def test_photo_latents_are_not_scaled_and_sketch_latents_are(tiny_frozen: FrozenInstructPix2Pix) -> None:
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        mode = tiny_frozen.vae.encode(image).latent_dist.mode()
    torch.testing.assert_close(tiny_frozen.encode_photo(image), mode)
    torch.testing.assert_close(tiny_frozen.encode_sketch(image), mode * 0.18215)


def test_text_rows_are_the_pipelines(tiny_backbone: Path, tiny_frozen: FrozenInstructPix2Pix) -> None:
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(tiny_backbone)
    expected = pipe._encode_prompt("pencil", torch.device("cpu"), 1, False)
    torch.testing.assert_close(tiny_frozen.encode_text(["pencil"]), expected, rtol=0, atol=0)
    assert tiny_frozen.content_length("pencil") == len("pencil")


def test_fingerprint_survives_precision_and_tells_weights_apart(tiny_frozen: FrozenInstructPix2Pix) -> None:
    mark = tiny_frozen.fingerprint
    assert fingerprint(tiny_frozen.unet.half(), tiny_frozen.text_encoder.bfloat16()) == mark
    torch.manual_seed(1)
    other = UNet2DConditionModel.from_config(tiny_frozen.unet.config)
    assert fingerprint(other, tiny_frozen.text_encoder) != mark


def test_mini_knows_the_attribute_words_and_a_tiny_backbone_does_not(tiny_frozen: FrozenInstructPix2Pix) -> None:
    assert not tiny_frozen.knows_attributes
    assert FrozenInstructPix2Pix.from_pretrained("mini", device="cpu").knows_attributes


@pytest.mark.parametrize(
    "spoil",
    ["missing", "no_unet", "truncated", "text_to_image"],
)
def test_unusable_backbones_are_refused_in_one_sentence(tiny_backbone: Path, tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "bad"
    if spoil != "missing":
        pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(tiny_backbone)
        if spoil == "text_to_image":
            pipe.unet = UNet2DConditionModel.from_config({**pipe.unet.config, "in_channels": 4})
        pipe.save_pretrained(folder)
        weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
        if spoil == "no_unet":
            weights.unlink()
        if spoil == "truncated":
            weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(InputError) as caught:
        FrozenInstructPix2Pix.from_pretrained(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_two_scale_guidance_keeps_its_branches() -> None:
    full, photo, nothing = torch.randn(3, 1, 4, 2, 2)
    torch.testing.assert_close(two_scale_guidance(full, photo, nothing, 1, 1), full)
    torch.testing.assert_close(two_scale_guidance(full, photo, nothing, 0, 1), photo)
    torch.testing.assert_close(two_scale_guidance(full, photo, nothing, 0, 0), nothing)
