"""What diffusers' pipelines offer keeps working here."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import accelerate
import diffusers
import numpy as np
import pytest
import torch
from conftest import WIDTH, picture, random_instruction, sketches
from diffusers import StableDiffusionInstructPix2PixPipeline
from diffusers.callbacks import PipelineCallback
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from torch import Tensor

from oneshot_sketch import FrozenInstructPix2Pix, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.backbone import fingerprint
from oneshot_sketch.errors import InputError
from oneshot_sketch.pipelines.one_shot_sketch import OneShotSketchOutput

# ── callbacks ──


def test_callback_sees_every_step_and_may_change_the_latents(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image
) -> None:
    seen: list[tuple[int, float, list[str]]] = []

    def watch(pipe: OneShotSketchPipeline, step: int, t: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        assert pipe is tiny_pipe
        seen.append((step, float(t), sorted(tensors)))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 3 else {}

    tiny_pipe.load_instruction(instruction)
    names = ("latents", "prompt_embeds", "image_latents")
    drawn = tiny_pipe(
        image=photo,
        num_inference_steps=4,
        callback_on_step_end=watch,
        callback_on_step_end_tensor_inputs=names,
        output_type="latent",
    ).images
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert [t for _, t, _ in seen] == [float(t) for t in tiny_pipe.scheduler.timesteps]
    assert all(found == sorted(names) for _, _, found in seen)
    assert not drawn.any()


def test_callback_objects_bring_their_own_tensor_names(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    class Watch(PipelineCallback):
        seen = 0

        @property
        def tensor_inputs(self) -> list[str]:  # type: ignore[override]
            return ["image_latents"]

        def callback_fn(self, pipeline: Any, step_index: int, timestep: Any, callback_kwargs: dict[str, Any]) -> dict[str, Any]:
            assert list(callback_kwargs) == ["image_latents"]
            self.seen += 1
            return {}

    watch = Watch(cutoff_step_ratio=1.0)
    sketches(tiny_pipe, prompt="ink", image=photo, callback_on_step_end=watch)
    assert watch.seen == 2


def test_unknown_tensor_name_is_refused(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="noise"):
        sketches(tiny_pipe, prompt="ink", image=photo, callback_on_step_end_tensor_inputs=["noise"])


# ── LoRA ──


@pytest.fixture
def lora(tiny_backbone: Path, tmp_path: Path) -> Path:
    pipe = OneShotSketchPipeline.from_pretrained(tiny_backbone)
    torch.manual_seed(0)
    for model in (pipe.unet, pipe.text_encoder):
        targets = ["to_q", "to_k", "to_v"] if model is pipe.unet else ["q_proj", "v_proj"]
        model.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=targets))
    pipe.save_lora_weights(
        tmp_path / "lora",
        unet_lora_layers=get_peft_model_state_dict(pipe.unet, adapter_name="default"),
        text_encoder_lora_layers=get_peft_model_state_dict(pipe.text_encoder, adapter_name="default"),
    )
    return tmp_path / "lora"


def test_lora_changes_the_sketch_and_unloads_without_a_trace(
    tiny_pipe: OneShotSketchPipeline, lora: Path, photo: Image.Image
) -> None:
    weights = fingerprint(tiny_pipe.unet, tiny_pipe.text_encoder)
    tiny_pipe.load_instruction(random_instruction(fingerprint=weights), "ink")
    before = [sketches(tiny_pipe, image=photo), sketches(tiny_pipe, image=photo, prompt="ink")]
    empty = tiny_pipe._rows("")[None]
    tiny_pipe.load_lora_weights(lora)
    assert not np.array_equal(sketches(tiny_pipe, image=photo), before[0])
    off = {"negative_prompt_embeds": empty, "cross_attention_kwargs": {"scale": 0.0}}
    np.testing.assert_allclose(sketches(tiny_pipe, image=photo, **off), before[0], atol=1e-5)
    tiny_pipe.load_instruction(random_instruction(fingerprint=weights), "the backbone is still the same")
    tiny_pipe.unload_lora_weights()
    tiny_pipe.set_instruction("ink")
    after = [sketches(tiny_pipe, image=photo), sketches(tiny_pipe, image=photo, prompt="ink")]
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))


# ── textual inversion ──


@pytest.mark.parametrize("vectors", [1, 3])
def test_textual_inversion_is_a_word_of_prompt_and_text(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, vectors: int
) -> None:
    tiny_pipe.load_instruction(instruction)
    letters = sketches(tiny_pipe, image=photo, text="<ink>"), sketches(tiny_pipe, image=photo, prompt="<ink>")
    learned = torch.randn(vectors, WIDTH, generator=torch.Generator().manual_seed(0))
    tiny_pipe.load_textual_inversion({"<ink>": learned})
    ids = tiny_pipe.tokenizer.convert_tokens_to_ids(["<ink>", "<ink>_1", "<ink>_2"][:vectors])
    padded = torch.tensor([[0, *ids, *[1] * (76 - vectors)]])
    with torch.no_grad():
        assert torch.equal(tiny_pipe.text_encoder.get_input_embeddings()(padded)[0, 1 : 1 + vectors], learned)
        rows = tiny_pipe.text_encoder(padded)[0]
    hybrid = instruction.with_text(rows[0], end=1 + vectors)[None]
    drawn = sketches(tiny_pipe, image=photo, text="<ink>"), sketches(tiny_pipe, image=photo, prompt="<ink>")
    assert np.array_equal(drawn[0], sketches(tiny_pipe, image=photo, prompt_embeds=hybrid))
    assert np.array_equal(drawn[1], sketches(tiny_pipe, image=photo, prompt_embeds=rows))
    assert not any(np.array_equal(a, b) for a, b in zip(drawn, letters, strict=True))
    tiny_pipe.unload_textual_inversion()
    restored = sketches(tiny_pipe, image=photo, text="<ink>"), sketches(tiny_pipe, image=photo, prompt="<ink>")
    assert all(np.array_equal(a, b) for a, b in zip(restored, letters, strict=True))


# ── schedulers ──


@pytest.mark.parametrize(
    "name",
    ["DDIM", "EulerDiscrete", "DPMSolverMultistep", "UniPCMultistep", "LCM", "PNDM", "HeunDiscrete"],
)
def test_scheduler_swaps_in_and_draws_what_it_draws_upstream(
    tiny_pipe: OneShotSketchPipeline, tiny_backbone: Path, instruction: LearnedInstruction, photo: Image.Image, name: str
) -> None:
    kind = getattr(diffusers, f"{name}Scheduler")
    stock = StableDiffusionInstructPix2PixPipeline(**tiny_pipe.components, requires_safety_checker=False)
    stock.set_progress_bar_config(disable=True)
    stock.scheduler = kind.from_config(tiny_pipe.scheduler.config)
    tiny_pipe.scheduler = kind.from_config(tiny_pipe.scheduler.config)
    tiny_pipe.load_instruction(instruction)
    given = {"image": photo, "num_inference_steps": 4, "output_type": "latent", "eta": 0.5}
    drawn = sketches(tiny_pipe, **given)
    assert drawn.isfinite().all()
    assert torch.equal(drawn, sketches(stock, prompt_embeds=instruction.embeddings[None], **given))


# ── offloading and attention ──


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is something to offload from")
def test_model_offloading_without_an_accelerator_fails_as_upstream(tiny_pipe: OneShotSketchPipeline) -> None:
    with pytest.raises(RuntimeError, match="requires accelerator"):
        tiny_pipe.enable_model_cpu_offload()


def test_instruction_loads_and_draws_with_weights_offloaded(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    """What sequential offloading does, with the CPU for an accelerator."""
    instruction = random_instruction(fingerprint=fingerprint(tiny_pipe.unet, tiny_pipe.text_encoder))
    expected = sketches(copy.deepcopy(tiny_pipe).load_instruction(instruction), image=photo, text="hat")
    for model in (tiny_pipe.unet, tiny_pipe.text_encoder, tiny_pipe.vae):
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert tiny_pipe.unet.device.type == "meta"
    assert np.array_equal(sketches(tiny_pipe.load_instruction(instruction), image=photo, text="hat"), expected)


def test_missing_xformers_is_one_warning(
    tiny_pipe: OneShotSketchPipeline,
    photo: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.setattr("diffusers.models.attention_processor.is_xformers_available", lambda: False)
    before = sketches(tiny_pipe, prompt="ink", image=photo)
    recwarn.clear()
    tiny_pipe.enable_xformers_memory_efficient_attention()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "xformers" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert not recwarn.list
    assert np.array_equal(before, sketches(tiny_pipe, prompt="ink", image=photo))


def test_attention_slicing_draws_the_same(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    before = sketches(tiny_pipe, prompt="ink", image=photo)
    tiny_pipe.enable_attention_slicing()
    tiny_pipe.vae.enable_slicing()
    np.testing.assert_allclose(before, sketches(tiny_pipe, prompt="ink", image=photo), atol=1e-4)


# ── saving, loading, sharing components ──


def test_saved_pipeline_loads_and_draws_the_same(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, tmp_path: Path
) -> None:
    tiny_pipe.load_instruction(instruction).save_pretrained(tmp_path)
    again = OneShotSketchPipeline.from_pretrained(tmp_path)
    assert type(again) is OneShotSketchPipeline
    assert again.instruction is None, "an instruction is saved by itself"
    again.load_instruction(instruction)
    assert np.array_equal(sketches(tiny_pipe, image=photo), sketches(again, image=photo))


def test_components_may_be_given(tiny_pipe: OneShotSketchPipeline, tiny_backbone: Path) -> None:
    again = OneShotSketchPipeline.from_pretrained(tiny_backbone, unet=tiny_pipe.unet)
    assert again.unet is tiny_pipe.unet
    half = OneShotSketchPipeline.from_pretrained(tiny_backbone, dtype=torch.bfloat16)
    assert half.unet.dtype == half.text_encoder.dtype == torch.bfloat16


def test_bfloat16_draws(tiny_backbone: Path, instruction: LearnedInstruction, photo: Image.Image) -> None:
    pipe = OneShotSketchPipeline.from_pretrained(tiny_backbone, dtype=torch.bfloat16).load_instruction(instruction)
    assert np.isfinite(sketches(pipe, image=photo, text="hat", negative_prompt="red")).all()


def test_from_pipe_shares_the_components_of_a_stock_pipeline(
    tiny_backbone: Path, instruction: LearnedInstruction, photo: Image.Image, tmp_path: Path
) -> None:
    shutil.copytree(tiny_backbone, tmp_path, dirs_exist_ok=True)
    (tmp_path / "drawing.json").write_text('{"num_inference_steps": 3}')
    stock = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path)
    pipe = OneShotSketchPipeline.from_pipe(stock)
    assert all(pipe.components[name] is component for name, component in stock.components.items())
    expected = sketches(stock, image=photo, prompt_embeds=instruction.embeddings[None])
    assert np.array_equal(sketches(pipe.load_instruction(instruction), image=photo), expected)
    settings = json.loads(json.dumps(pipe(image=photo).settings))
    assert (settings["backbone"], settings["num_inference_steps"]) == (str(tmp_path), 3)


def test_drawing_defaults_come_from_the_backbone_and_not_from_where_one_stands(
    tiny_pipe: OneShotSketchPipeline, photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drawing.json").write_text('{"num_inference_steps": 3}')
    monkeypatch.chdir(tmp_path)
    pipe = OneShotSketchPipeline(**tiny_pipe.components)
    assert pipe("ink", photo).settings["num_inference_steps"] == 20


def test_a_backbone_may_draw_larger_than_it_learns(
    tiny_backbone: Path, instruction: LearnedInstruction, photo: Image.Image, tmp_path: Path
) -> None:
    shutil.copytree(tiny_backbone, tmp_path, dirs_exist_ok=True)
    (tmp_path / "drawing.json").write_text('{"num_inference_steps": 1, "resolution": 64}')
    pipe = OneShotSketchPipeline.from_pretrained(tmp_path)
    frozen = FrozenInstructPix2Pix.from_pipeline(pipe, str(tmp_path))
    assert (pipe.native_resolution, frozen.resolution) == (64, 32)
    pipe.load_instruction(instruction)
    sizes = [pipe(image=photo, **given).images[0].size for given in ({}, {"resolution": 32}, {"resolution": "photo"})]
    assert sizes == [(64, 64), (32, 32), photo.size]
    (tmp_path / "drawing.json").write_text('{"resolution": -5}')
    with pytest.raises(InputError, match="resolution is -5"):
        pipe(image=photo)


def test_a_stock_pipeline_is_made_back(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    stock = StableDiffusionInstructPix2PixPipeline.from_pipe(tiny_pipe)
    assert np.array_equal(sketches(stock, prompt="ink", image=photo), sketches(tiny_pipe, prompt="ink", image=photo))


# ── output ──


def test_output_types_hold_the_same_picture(tiny_pipe: OneShotSketchPipeline) -> None:
    given = {"prompt": "ink", "image": [picture(48, 24, seed=1), picture(48, 24, seed=2)], "resolution": "photo"}
    array = sketches(tiny_pipe, **given)
    assert array.shape == (2, 24, 48, 3)
    assert array.min() >= 0
    assert array.max() <= 1
    tensor = sketches(tiny_pipe, output_type="pt", **given)
    assert np.array_equal(tensor.permute(0, 2, 3, 1).numpy(), array)
    images = sketches(tiny_pipe, output_type="pil", **given)
    assert [image.size for image in images] == [(48, 24)] * 2
    assert np.array_equal(np.stack([np.asarray(image) for image in images]), (array * 255).round().astype(np.uint8))
    latents = sketches(tiny_pipe, output_type="latent", **given)
    assert latents.shape == (2, 4, 12, 24)
    with torch.no_grad():
        decoded = tiny_pipe.vae.decode(latents / tiny_pipe.vae.config.scaling_factor).sample
    torch.testing.assert_close((decoded / 2 + 0.5).clamp(0, 1), tensor)


def test_output_is_diffusers_own_with_settings(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    output = tiny_pipe("ink", photo, num_inference_steps=1)
    assert isinstance(output, OneShotSketchOutput)
    assert isinstance(output, diffusers.pipelines.stable_diffusion.StableDiffusionPipelineOutput)
    assert output.nsfw_content_detected is None
    images, unsafe = tiny_pipe("ink", photo, num_inference_steps=1, return_dict=False)
    assert isinstance(images[0], Image.Image)
    assert unsafe is None
