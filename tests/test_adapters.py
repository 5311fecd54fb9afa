"""Companions: as values, as files, and round the layers of a UNet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import sketches
from PIL import Image
from safetensors.torch import load, save

from oneshot_sketch import (
    FrozenInstructPix2Pix,
    InputError,
    InstructionLearner,
    InstructionLearnerConfig,
    LearnedInstruction,
    OneShotSketchPipeline,
    PhotoSketchPair,
)
from oneshot_sketch.adapters import CompanionLayers, untaught
from oneshot_sketch.companion import Companion
from oneshot_sketch.learned_instruction import COMPANION, CONFIG

FAST = InstructionLearnerConfig(
    steps=4,
    draws=2,
    augmentations=2,
    grid=2,
    select_every=2,
    init="text",
    rows=4,
    companion_rank=2,
    companion_rate=1e-2,
    edit_weight=0.0,
)


def some_companion(unet: torch.nn.Module, rank: int = 2, seed: int = 0) -> Companion:
    """One that changes pictures."""
    generator = torch.Generator().manual_seed(seed)
    layers = untaught(unet, rank, seed).layers
    return Companion({path: (a, torch.randn(b.shape, generator=generator)) for path, (a, b) in layers.items()})


def joined(instruction: LearnedInstruction, companion: Companion | None) -> LearnedInstruction:
    return LearnedInstruction(instruction.embeddings, instruction.neutral, instruction.rows, instruction.record, companion)


def learn(frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, **arguments: object) -> LearnedInstruction:
    return InstructionLearner(frozen, FAST).learn(pair, progress=False, **arguments)  # type: ignore[arg-type]


# ── in the pipeline ──


def test_a_companion_changes_the_sketch_and_leaves_with_its_instruction(
    tiny_pipe: OneShotSketchPipeline, photo: Image.Image, instruction: LearnedInstruction
) -> None:
    names = list(tiny_pipe.unet.state_dict())
    plain = sketches(tiny_pipe.load_instruction(instruction), image=photo)
    companion = some_companion(tiny_pipe.unet)
    with_it = sketches(tiny_pipe.load_instruction(joined(instruction, companion), "with"), image=photo)
    assert np.abs(with_it - plain).max() > 1e-3
    assert list(tiny_pipe.unet.state_dict()) == names
    np.testing.assert_array_equal(sketches(tiny_pipe, image=photo, companion_scale=0.0), plain)
    half = sketches(tiny_pipe, image=photo, companion_scale=0.5)
    weaker = joined(instruction, companion.scaled(0.5))
    np.testing.assert_allclose(half, sketches(tiny_pipe.load_instruction(weaker, "weaker"), image=photo), atol=1e-5)
    assert np.abs(half - with_it).max() > 1e-3
    tiny_pipe.unload_instruction("with")
    tiny_pipe.unload_instruction("weaker")
    tiny_pipe.set_instruction("default")
    np.testing.assert_array_equal(sketches(tiny_pipe, image=photo), plain)


def test_stock_diffusers_draws_with_the_saved_companion(
    tiny_pipe: OneShotSketchPipeline, tiny_backbone: Path, photo: Image.Image, instruction: LearnedInstruction, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    whole = joined(instruction, some_companion(tiny_pipe.unet))
    whole.save_pretrained(tmp_path / "fine")
    stock = StableDiffusionInstructPix2PixPipeline.from_pretrained(tiny_backbone, safety_checker=None)
    stock.load_lora_weights(tmp_path / "fine", weight_name=COMPANION)
    scales = {"guidance_scale": 7.5, "image_guidance_scale": 1.5}
    ours = sketches(tiny_pipe.load_instruction(tmp_path / "fine"), image=photo, **scales)
    np.testing.assert_array_equal(ours, sketches(stock, image=photo, prompt_embeds=whole.embeddings[None], **scales))


def test_the_users_own_lora_works_on_below(
    tiny_pipe: OneShotSketchPipeline, photo: Image.Image, instruction: LearnedInstruction
) -> None:
    companion, own = some_companion(tiny_pipe.unet, seed=1), some_companion(tiny_pipe.unet, rank=3, seed=2)
    tiny_pipe.load_instruction(joined(instruction, companion.plus(own)), "sum")
    both = sketches(tiny_pipe, image=photo)
    tiny_pipe.load_instruction(joined(instruction, companion), "alone")
    alone = sketches(tiny_pipe, image=photo)
    weights = {key.removeprefix("unet."): matrix for key, matrix in load(own.to_bytes()).items()}
    tiny_pipe.unet.load_lora_adapter(weights, adapter_name="users", prefix=None)
    np.testing.assert_allclose(sketches(tiny_pipe, image=photo), both, atol=1e-4)
    tiny_pipe.fuse_lora()
    np.testing.assert_allclose(sketches(tiny_pipe, image=photo), both, atol=1e-4)
    tiny_pipe.unfuse_lora()
    tiny_pipe.unet.delete_adapters("users")
    np.testing.assert_allclose(sketches(tiny_pipe, image=photo), alone, atol=1e-6)


def test_companions_blend_as_their_instructions_do(
    tiny_pipe: OneShotSketchPipeline, photo: Image.Image, instruction: LearnedInstruction
) -> None:
    first, second = (some_companion(tiny_pipe.unet, rank, seed) for rank, seed in ((1, 1), (2, 2)))
    tiny_pipe.load_instruction(joined(instruction, first), "first").load_instruction(joined(instruction, second), "second")
    tiny_pipe.set_instruction(["first", "second"], [1.0, 3.0])
    mixed = tiny_pipe.instruction
    assert mixed is not None
    assert mixed.companion is not None
    for path, (a, b) in mixed.companion.layers.items():
        products = [c.layers[path][1] @ c.layers[path][0] for c in (first, second)]
        torch.testing.assert_close(b @ a, 0.25 * products[0] + 0.75 * products[1])
    assert np.isfinite(sketches(tiny_pipe, image=photo)).all()


def test_an_error_inside_leaves_the_unet_as_it_was(tiny_pipe: OneShotSketchPipeline) -> None:
    unet, layers = tiny_pipe.unet, CompanionLayers(tiny_pipe.unet, some_companion(tiny_pipe.unet))
    before = dict(unet.named_modules())
    with pytest.raises(RuntimeError), layers.attached(unet):
        assert dict(unet.named_modules()) != before
        raise RuntimeError
    assert dict(unet.named_modules()) == before


def test_a_companion_of_another_unet_is_refused(tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction) -> None:
    layers = dict(some_companion(tiny_pipe.unet).layers)
    path, (a, b) = next(iter(layers.items()))
    for wrong in ({**layers, path: (a[:, :-1], b)}, {"mid_block.elsewhere.attn2.to_q": (a, b)}):
        with pytest.raises(InputError, match="does not fit"):
            tiny_pipe.load_instruction(joined(instruction, Companion(wrong)))
        assert not tiny_pipe.instructions


# ── on disk ──


def test_the_artefact_keeps_its_companion(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, tmp_path: Path
) -> None:
    companion = some_companion(tiny_pipe.unet)
    joined(instruction, companion).save_pretrained(tmp_path / "fine")
    again = LearnedInstruction.from_pretrained(tmp_path / "fine").companion
    assert again is not None
    assert again.rank == 2
    assert again.to_bytes() == companion.to_bytes() == (tmp_path / "fine" / COMPANION).read_bytes()
    instruction.save_pretrained(tmp_path / "fine")  # over it, without
    assert LearnedInstruction.from_pretrained(tmp_path / "fine").companion is None


def test_hostile_companions_are_refused_in_a_sentence(
    tiny_pipe: OneShotSketchPipeline, instruction: LearnedInstruction, tmp_path: Path
) -> None:
    joined(instruction, some_companion(tiny_pipe.unet)).save_pretrained(tmp_path)
    file, tensors = tmp_path / COMPANION, load((tmp_path / COMPANION).read_bytes())
    key = next(iter(tensors))
    infinite, half = torch.full_like(tensors[key], torch.inf), tensors[key].half()
    other = key.replace("lora_A", "lora_B") if "lora_A" in key else key.replace("lora_B", "lora_A")
    bad = {
        "damaged": b"nonsense",
        "no part of a companion": save({**tensors, "unet.conv_in.weight": torch.zeros(1)}),
        "only half": save({k: v for k, v in tensors.items() if k != other}),
        "infinite": save({**tensors, key: infinite}),
        "no float32 product": save({**tensors, key: half}),
        "at least one layer": save({}),
    }
    for reason, content in bad.items():
        file.write_bytes(content)
        with pytest.raises(InputError, match=reason):
            LearnedInstruction.from_pretrained(tmp_path)
    file.write_bytes(some_companion(tiny_pipe.unet, rank=3).to_bytes())
    with pytest.raises(InputError, match="does not match"):
        LearnedInstruction.from_pretrained(tmp_path)
    file.unlink()
    with pytest.raises(InputError, match="holds no companion"):
        LearnedInstruction.from_pretrained(tmp_path)


@pytest.mark.parametrize("entry", ['"big"', '{"rank": 0}', '{"rank": true}', '{"rank": 2.0}', "{}", "[2]"])
def test_an_unusable_entry_is_refused(instruction: LearnedInstruction, tmp_path: Path, entry: str) -> None:
    instruction.save_pretrained(tmp_path)
    config = (tmp_path / CONFIG).read_text()
    (tmp_path / CONFIG).write_text(config.replace('"rows"', f'"companion": {entry}, "rows"', 1))
    with pytest.raises(InputError, match="unusable companion"):
        LearnedInstruction.from_pretrained(tmp_path)


# ── learning ──


def test_the_companion_learns_and_no_weight_of_the_backbone_does(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair
) -> None:
    before = {name: p.clone() for name, p in tiny_frozen.unet.named_parameters()}
    whole = learn(tiny_frozen, pair)
    assert whole.companion is not None
    assert whole.companion.rank == 2
    assert all(b.abs().max() > 0 for _, b in whole.companion.layers.values())
    for name, p in tiny_frozen.unet.named_parameters():
        assert not p.requires_grad
        assert p.grad is None
        assert torch.equal(p, before[name])
    assert learn(tiny_frozen, pair).companion.to_bytes() == whole.companion.to_bytes()  # type: ignore[union-attr]


def test_learning_goes_on_to_the_same_companion(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, tmp_path: Path
) -> None:
    whole = learn(tiny_frozen, pair)

    def stop(state: object) -> None:
        if state.step == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(tiny_frozen, pair, checkpoint=tmp_path, callback=stop)
    resumed = learn(tiny_frozen, pair, checkpoint=tmp_path)
    assert torch.equal(resumed.embeddings, whole.embeddings)
    assert resumed.companion.to_bytes() == whole.companion.to_bytes()  # type: ignore[union-attr]
    assert resumed.record == whole.record


def test_a_preview_while_learning_draws_what_was_learned_so_far(
    tiny_pipe: OneShotSketchPipeline, pair: PhotoSketchPair, photo: Image.Image
) -> None:
    """Learner and pipeline share one UNet; the learner's own companion must not be in it while the pipeline draws."""
    frozen = FrozenInstructPix2Pix.from_pipeline(tiny_pipe, "tiny")
    seen: list[tuple[LearnedInstruction, np.ndarray]] = []

    def draw(state: object) -> None:
        so_far = state.instruction()  # type: ignore[attr-defined]
        seen.append((so_far, sketches(tiny_pipe.load_instruction(so_far), image=photo)))
        tiny_pipe.unload_instruction()

    learn(frozen, pair, callback=draw)
    for so_far, drawn in seen:
        np.testing.assert_array_equal(sketches(tiny_pipe.load_instruction(so_far), image=photo), drawn)
    assert not np.array_equal(seen[0][1], seen[-1][1])


def test_gradient_checkpointing_gives_the_same_companion(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    plain = learn(tiny_frozen, pair).companion
    lean = InstructionLearner(tiny_frozen, replace(FAST, gradient_checkpointing=True)).learn(pair, progress=False).companion
    assert plain is not None
    assert lean is not None
    for path, (a, b) in plain.layers.items():
        torch.testing.assert_close(lean.layers[path][1] @ lean.layers[path][0], b @ a, atol=1e-4, rtol=1e-3)


def test_ranks_out_of_range_are_refused() -> None:
    for rank in (-1, 5):
        with pytest.raises(InputError, match="companion_rank"):
            replace(FAST, companion_rank=rank)
