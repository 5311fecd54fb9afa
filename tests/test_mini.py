"""The embedded backbone: what ships is small, whole, and draws through code that is not ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import picture
from diffusers import StableDiffusionInstructPix2PixPipeline
from transformers import CLIPTextModel, CLIPTokenizer

from oneshot_sketch import FrozenInstructPix2Pix, OneShotSketchPipeline
from oneshot_sketch.attributes import ATTRIBUTES
from oneshot_sketch.backbone import MINI, PREDECESSORS
from oneshot_sketch.models.clip import load_clip


def test_it_is_small_and_in_diffusers_layout() -> None:
    assert sum(file.stat().st_size for file in MINI.rglob("*") if file.is_file()) < 80 * 2**20
    assert (MINI / "model_index.json").is_file()


def test_its_parts_are_the_stock_classes() -> None:
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    assert isinstance(pipe.text_encoder, CLIPTextModel)
    assert isinstance(pipe.tokenizer, CLIPTokenizer)
    assert float(pipe.scheduler.alphas_cumprod[-1]) == 0
    assert all(len(pipe.tokenizer.tokenize(word)) == 1 for word in (*ATTRIBUTES, "pencil", "sketch", "background"))


@pytest.mark.parametrize(("image_scale", "apart"), [(1.25, 0), (1.5, 1)])  # at equal scales we leave out a branch of weight zero
def test_the_stock_pipeline_draws_the_same_picture(image_scale: float, apart: int) -> None:
    photo = picture(256, 256)
    settings = {"num_inference_steps": 2, "guidance_scale": 1.5, "image_guidance_scale": image_scale}
    stock = StableDiffusionInstructPix2PixPipeline.from_pretrained(MINI)
    ours = OneShotSketchPipeline.from_pretrained("mini")
    for pipe in (stock, ours):
        pipe.set_progress_bar_config(disable=True)
    a, b = (p(prompt="pencil sketch", image=photo, generator=torch.Generator().manual_seed(0), **settings) for p in (stock, ours))
    theirs, mine = (np.asarray(drawn.images[0]).astype(int) for drawn in (a, b))
    assert np.abs(theirs - mine).max() <= apart


def test_its_autoencoder_keeps_a_drawing_and_drops_its_colour() -> None:
    backbone = FrozenInstructPix2Pix.from_pretrained("mini", device="cpu")
    ramp = torch.linspace(-0.9, 0.9, 128).expand(1, 3, 128, 128)
    with torch.no_grad():
        again = backbone.vae.decode(backbone.encode_sketch(ramp)).sample
        tinted = backbone.vae.decode(backbone.encode_sketch(ramp * torch.tensor([1.0, 0.5, 0.5]).view(1, 3, 1, 1))).sample
    assert (again - ramp).abs().mean() < 0.05
    assert (tinted[:, 0] - tinted[:, 2]).abs().max() == 0


def test_its_clip_reads_its_own_text_rows() -> None:
    backbone = FrozenInstructPix2Pix.from_pretrained("mini", device="cpu")
    clip = load_clip(backbone.clip)
    assert clip.text_width == backbone.text_encoder.config.hidden_size
    rows = backbone.encode_text(["pencil sketch"])
    assert clip.project_text(rows[:, 1:3].mean(1)).shape == clip.encode_image(torch.zeros(1, 3, 128, 128)).shape


def test_it_knows_the_editions_before_it() -> None:
    mini = FrozenInstructPix2Pix.from_pretrained("mini")
    before = ("1f6fc0a2e42fa25d", "7c5147932e725a7b", "5adca49cb133e968")
    assert PREDECESSORS[mini.fingerprint] == before, "instructions of the third, second and first edition still load"
