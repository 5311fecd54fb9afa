"""The real model's sizes with random weights: nothing in the library is only right for small networks."""

from __future__ import annotations

import pytest
import torch
from conftest import picture
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InstructionLearner,
    InstructionLearnerConfig,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.models.clip import TransformersClip


@pytest.mark.slow
def test_sd15_sized_backbone_learns_and_draws_at_256_pixels(tokenizer: CLIPTokenizer) -> None:
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        hidden_act="quick_gelu",
        projection_dim=768,
        bos_token_id=0,
        eos_token_id=1,
    )
    pipe = OneShotSketchPipeline(
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(sample_size=64, in_channels=8, cross_attention_dim=768, attention_head_dim=8),
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1
        ),
    )
    assert 859e6 < sum(p.numel() for p in pipe.unet.parameters()) < 861e6
    vision = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 32}
    clip = TransformersClip(
        CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision, projection_dim=768)), tokenizer
    )
    config = InstructionLearnerConfig.preset("paper", steps=2, init="text", text="pencil", resolution=256, grid=1, select_every=1)
    learner = InstructionLearner(FrozenInstructPix2Pix(pipe, "random-sd15"), config, clip)
    photo = picture(256, 256)
    instruction = learner.learn(PhotoSketchPair(photo, photo.convert("L")), progress=False)
    assert instruction.embeddings.shape == (77, 768)
    assert instruction.record.steps == 2

    pipe.set_progress_bar_config(disable=True)
    pipe.load_instruction(instruction)
    drawn = pipe(image=photo, resolution=256, num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    assert drawn.images[0].size == (256, 256)
