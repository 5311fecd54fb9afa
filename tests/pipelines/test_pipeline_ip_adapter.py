"""An IP-adapter, whose embeddings alone upstream does not take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import WIDTH, picture, random_instruction, sketches
from diffusers.models.attention_processor import IPAdapterAttnProcessor
from diffusers.models.embeddings import ImageProjection
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from oneshot_sketch import LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.backbone import fingerprint


@pytest.fixture
def adapted(tiny_pipe: OneShotSketchPipeline) -> OneShotSketchPipeline:
    """With an IP-adapter of random weights, laid out as diffusers' own tests do."""
    torch.manual_seed(0)
    weights: dict[str, Tensor] = {}
    for name in tiny_pipe.unet.attn_processors:
        if name.endswith("attn2.processor"):
            processor = IPAdapterAttnProcessor(hidden_size=16, cross_attention_dim=WIDTH).state_dict()
            key = len(weights) + 1
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
