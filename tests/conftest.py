"""Tiny random backbones and pictures, so that every test runs offline in moments."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from hypothesis import settings
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from oneshot_sketch import FrozenInstructPix2Pix, LearnedInstruction, OneShotSketchPipeline, PhotoSketchPair
from oneshot_sketch.instruction_record import InstructionRecord

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of many threads each would wait for one another
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

WIDTH = 32
SHARED = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests run only when asked for by `-m slow`."""
    if not config.option.markexpr:
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; run with -m slow"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the processes of a launcher have: another number of threads sums in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """A byte-level CLIP tokenizer of 77 tokens without merges: every letter is a token."""
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = [chr(c) for c in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory, tokenizer: CLIPTokenizer) -> Path:
    """Folder of an InstructPix2Pix with SD-1.5's classes and random weights of a few kilobytes; images of 32 pixels."""
    torch.manual_seed(0)
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=16,
        **ids,
    )
    pipe = StableDiffusionInstructPix2PixPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            sample_size=16,
            in_channels=8,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
            norm_num_groups=4,
        ),
        scheduler=EulerAncestralDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("backbone")
    pipe.save_pretrained(folder)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision, projection_dim=16)).save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    return folder


@pytest.fixture(scope="session")
def loaded_pipe(tiny_backbone: Path) -> OneShotSketchPipeline:
    pipe = OneShotSketchPipeline.from_pretrained(tiny_backbone)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def tiny_pipe(loaded_pipe: OneShotSketchPipeline) -> OneShotSketchPipeline:
    return copy.deepcopy(loaded_pipe)


@pytest.fixture
def tiny_frozen(tiny_backbone: Path) -> FrozenInstructPix2Pix:
    return FrozenInstructPix2Pix.from_pretrained(tiny_backbone, device="cpu")


def picture(width: int = 32, height: int = 32, seed: int = 0) -> Image.Image:
    """A smooth random colour picture."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photo() -> Image.Image:
    return picture(seed=1)


@pytest.fixture
def pair(photo: Image.Image) -> PhotoSketchPair:
    return PhotoSketchPair(photo, photo.convert("L"), name="somebody")


def random_instruction(length: int = 77, width: int = WIDTH, seed: int = 0, fingerprint: str = "") -> LearnedInstruction:
    generator = torch.Generator().manual_seed(seed)
    embeddings, neutral = torch.randn(2, length, width, generator=generator)
    return LearnedInstruction(embeddings, neutral, (1, 9), InstructionRecord(backbone="tiny", fingerprint=fingerprint))


@pytest.fixture
def instruction() -> LearnedInstruction:
    return random_instruction()


def sketches(pipe: StableDiffusionInstructPix2PixPipeline, seed: int = 0, **arguments: Any) -> np.ndarray:
    """What a pipeline draws in two steps, (B, H, W, 3) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return pipe(**{"num_inference_steps": 2, "output_type": "np", "generator": generator} | arguments).images


@pytest.fixture(scope="session")
def pencil(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an instruction for the tiny backbone, which draws in two steps."""
    frozen = FrozenInstructPix2Pix.from_pretrained(tiny_backbone, device="cpu")
    rows, neutral = frozen.encode_text(["pencil", ""])
    record = InstructionRecord(backbone=str(tiny_backbone), fingerprint=frozen.fingerprint, drawing={"num_inference_steps": 2})
    folder = tmp_path_factory.mktemp("instructions") / "pencil"
    LearnedInstruction(rows, neutral, (1, 7), record).save_pretrained(folder)
    return folder
