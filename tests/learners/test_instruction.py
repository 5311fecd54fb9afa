from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from oneshot_sketch import FrozenInstructPix2Pix, InputError, InstructionLearner, InstructionLearnerConfig, PhotoSketchPair
from oneshot_sketch.guidance import two_scale_guidance
from oneshot_sketch.hard_prompt import HardPromptConfig
from oneshot_sketch.learners.checkpoint import load_state
from oneshot_sketch.learners.draws import draw, draw_pictures, fixed_grid
from oneshot_sketch.learners.instruction import Run

FAST = InstructionLearnerConfig(steps=6, draws=2, grid=4, augmentations=2, select_every=2, rows=5, text="ink sketch")


def learn(frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, config: InstructionLearnerConfig = FAST, **kwargs: object):
    return InstructionLearner(frozen, config).learn(pair, progress=False, **kwargs)  # type: ignore[arg-type]


def test_only_the_free_rows_change(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    before = {k: v.clone() for k, v in tiny_frozen.unet.state_dict().items()}
    instruction = learn(tiny_frozen, pair, replace(FAST, select_every=0))
    start = tiny_frozen.encode_text(["ink sketch"])[0]
    assert instruction.rows == (1, 6)
    assert torch.equal(instruction.embeddings[:1], start[:1])
    assert torch.equal(instruction.embeddings[6:], start[6:])
    assert not torch.isclose(instruction.embeddings[1:6], start[1:6]).all(1).any()
    assert all(torch.equal(v, before[k]) for k, v in tiny_frozen.unet.state_dict().items())
    assert all(p.grad is None for p in tiny_frozen.unet.parameters())


def test_both_losses_improve_on_the_fixed_grid(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    losses = learn(tiny_frozen, pair, replace(FAST, steps=60, draws=4, select_every=10, edit_weight=1.0)).record.losses
    assert losses["reconstruction kept"] < losses["reconstruction at the start"]
    assert losses["edit_cosine kept"] > losses["edit_cosine at the start"] + 0.1


def test_same_seed_same_bytes_and_another_seed_others(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    first, again = learn(tiny_frozen, pair), learn(tiny_frozen, pair)
    other = learn(tiny_frozen, pair, replace(FAST, seed=1))
    assert torch.equal(first.embeddings, again.embeddings)
    assert not torch.equal(first.embeddings, other.embeddings)


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_a_stopped_run_resumes_to_the_same_bytes(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, tmp_path: Path, stop_at: int
) -> None:
    whole = learn(tiny_frozen, pair)

    def stop(state: object) -> None:
        if state.step == stop_at:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(tiny_frozen, pair, checkpoint=tmp_path, callback=stop)
    resumed = learn(tiny_frozen, pair, checkpoint=tmp_path)
    assert torch.equal(resumed.embeddings, whole.embeddings)
    assert resumed.record == whole.record


@pytest.mark.parametrize("broken", ["advance", "judge", "state"])
def test_a_run_stopped_inside_a_step_resumes_to_the_same_bytes(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    whole = learn(tiny_frozen, pair)
    original, calls = getattr(Run, broken), []

    def stop(run: Run, *args: object, **kwargs: object) -> object:
        calls.append(run.step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(run, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, broken, stop)
        learn(tiny_frozen, pair, checkpoint=tmp_path)
    saved = load_state(tmp_path)
    assert saved is not None
    assert saved[1]["step"] == 1
    resumed = learn(tiny_frozen, pair, checkpoint=tmp_path)
    assert torch.equal(resumed.embeddings, whole.embeddings)
    assert resumed.record == whole.record


def test_a_checkpoint_of_another_run_is_refused(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, tmp_path: Path
) -> None:
    learn(tiny_frozen, pair, checkpoint=tmp_path)
    with pytest.raises(InputError, match="another config"):
        learn(tiny_frozen, pair, replace(FAST, learning_rate=1e-4), checkpoint=tmp_path)
    (tmp_path / "state.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="damaged"):
        learn(tiny_frozen, pair, checkpoint=tmp_path)


def test_a_step_costs_at_most_twice_a_forward_pass_a_draw(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    learner = InstructionLearner(tiny_frozen, replace(FAST, edit_weight=0.0))
    material = learner._encode([pair], progress=False)
    shape = tuple(material.z_photo.shape[1:])
    draws = draw(learner.config, 0, len(material.z_photo), 1000, shape)
    free = material.start.rows[1:6].clone().requires_grad_()
    rows = material.start.rows.expand(2, -1, -1)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        tiny_frozen.predict(draws.noise, draws.t, rows, material.z_photo[draws.view])
    with FlopCounterMode(display=False) as step:
        learner._losses(free, material, draws)[0].backward()
    assert step.get_total_flops() <= 2.1 * forward.get_total_flops()


def test_guidance_in_the_loss_has_the_gradient_of_the_full_formula(
    tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair
) -> None:
    config = replace(FAST, train_guidance=(7.5, 1.5), edit_weight=0.0)
    learner = InstructionLearner(tiny_frozen, config)
    material = learner._encode([pair], progress=False)
    draws = draw(config, 0, 2, 1000, tuple(material.z_photo.shape[1:]))
    free = material.start.rows[1:6].clone().requires_grad_()
    learner._losses(free, material, draws)[0].backward()

    mine = free.grad
    free = material.start.rows[1:6].clone().requires_grad_()
    rows = torch.cat([material.start.rows[:1], free, material.start.rows[6:]]).expand(2, -1, -1)
    neutral = material.start.neutral.expand(2, -1, -1)
    z, z_p = material.z_sketch[draws.view], material.z_photo[draws.view]
    z_t = tiny_frozen.add_noise(z, draws.noise, draws.t)
    branches = [(rows, z_p), (neutral, z_p), (neutral, torch.zeros_like(z_p))]
    e1, e2, e3 = (tiny_frozen.predict(z_t, draws.t, r, p) for r, p in branches)
    (two_scale_guidance(e1, e2, e3, 7.5, 1.5) - draws.noise).pow(2).mean().backward()
    torch.testing.assert_close(mine, free.grad)


def test_several_pairs_and_pairs_of_other_shape(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    assert learn(tiny_frozen, [pair, pair]).record.pairs == ("somebody", "somebody")  # type: ignore[arg-type]
    wide = PhotoSketchPair(Image.new("RGB", (64, 32)), Image.new("RGB", (64, 32)))
    with pytest.raises(InputError, match="differ in shape"):
        learn(tiny_frozen, [pair, wide])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no pair"):
        learn(tiny_frozen, [])  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["paper", "visii"])
def test_presets_run(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair, preset: str) -> None:
    config = InstructionLearnerConfig.preset(preset, steps=2, init="text", text="ink", grid=2)
    instruction = learn(tiny_frozen, pair, config)
    assert instruction.rows == (1, 4)  # the three letters of "ink"
    json.dumps(instruction.to_dict())


def test_the_papers_numbers() -> None:
    paper = InstructionLearnerConfig.preset("paper")
    assert (paper.steps, paper.learning_rate, paper.reconstruction_weight, paper.edit_weight) == (12_000, 1e-3, 4.0, 0.1)


def test_learning_from_noise_and_from_a_hard_prompt(
    tiny_frozen: FrozenInstructPix2Pix, tiny_backbone: Path, pair: PhotoSketchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert learn(tiny_frozen, pair, replace(FAST, init="noise")).rows == (1, 6)
    short = HardPromptConfig(length=4, steps=3)
    monkeypatch.setattr("oneshot_sketch.learners.initial.HardPromptConfig", lambda seed: short)
    found = learn(tiny_frozen, pair, replace(FAST, init="pez", pez_clip=str(tiny_backbone / "clip")))
    assert found.record.text


def test_permuted_timesteps_visit_each_once() -> None:
    config = replace(FAST, timesteps="permute", draws=10, fixed_noise=True)
    seen = torch.cat([draw(config, step, 1, 100, (1, 2, 2)).t for step in range(10)])
    assert seen.sort().values.tolist() == list(range(100))
    a, b = (draw(config, step, 1, 100, (1, 2, 2)) for step in (0, 10))
    by_t = dict(zip(a.t.tolist(), a.noise, strict=True))
    assert all(torch.equal(by_t[t], n) for t, n in zip(b.t.tolist(), b.noise, strict=True) if t in by_t)


def test_stratified_timesteps_cover_the_schedule() -> None:
    t = draw(replace(FAST, draws=8), 3, 1, 1000, (1, 2, 2)).t
    assert (t // 125).tolist() == list(range(8))
    drawn = draw_pictures(replace(FAST, drawings=5), 3, 4, 1000, (1, 2, 2))
    assert drawn.t.tolist() == [999] * 5
    assert not torch.equal(drawn.noise, draw_pictures(replace(FAST, drawings=5), 4, 4, 1000, (1, 2, 2)).noise)
    assert torch.equal(fixed_grid(FAST, 1000, (1, 2, 2), 1).noise, fixed_grid(FAST, 1000, (1, 2, 2), 1).noise)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"learning_rate": -1.0}, {"learning_rate": float("nan")}, {"ema_decay": 1.0}, {"rows": 0}, {"grid": 0}],
)
def test_nonsense_settings_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        InstructionLearnerConfig(**wrong)  # type: ignore[arg-type]
