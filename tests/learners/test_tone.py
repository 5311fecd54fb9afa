"""Tones of what one step draws are learned where one step draws, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearner, InstructionLearnerConfig, OneShotSketchPipeline
from oneshot_sketch.cli.learning import bundled_pictures
from oneshot_sketch.filters import dodge_and_burn
from oneshot_sketch.images import grey, to_pil, to_tensor
from oneshot_sketch.learners.draws import draw
from oneshot_sketch.learners.shares import Shares
from oneshot_sketch.pair import PhotoSketchPair

BRIEF = InstructionLearnerConfig(
    steps=12, draws=8, tone_weight=16.0, augmentations=2, grid=4, edit_weight=0.0, warmup=2, learning_rate=0.05
)


@pytest.fixture(scope="module")
def darkened(oval: Tensor) -> PhotoSketchPair:
    """A dodge-and-burn drawing in greys alone."""
    return PhotoSketchPair(to_pil(oval)[0], to_pil(dodge_and_burn(oval) * 0.8 - 0.2)[0])


def test_one_step_is_what_the_pipeline_draws_in_one(mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair) -> None:
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    scales = {"num_inference_steps": 1, "guidance_scale": 1.0, "image_guidance_scale": 1.0, "resolution": 128}
    theirs = pipe("a pencil sketch", image=darkened.photo, output_type="pt", generator=torch.Generator().manual_seed(0), **scales)
    z_p = mini.encode_photo(to_tensor(darkened.photo))
    noise = torch.randn(z_p.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        v = mini.predict(noise, torch.tensor([999]), mini.encode_text(["a pencil sketch"]), z_p)
        ours = mini.one_step(v)
    torch.testing.assert_close(ours / 2 + 0.5, theirs.images, atol=1e-3, rtol=0)


def test_the_loss_is_the_wasserstein_distance_of_the_grey_levels(mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair) -> None:
    learner = InstructionLearner(mini, replace(BRIEF, augmentations=1))
    material = learner._encode([darkened], progress=False)
    draws = draw(learner.config, 0, 1, 1000, tuple(material.z_photo.shape[1:]))
    first, stop = material.start.ins
    tone = learner._losses(material.start.rows[first:stop], material, draws)[2].item()
    with torch.no_grad():
        rows = material.start.rows.expand(4, -1, -1)
        drawn = mini.one_step(mini.predict(draws.noise[1::2], draws.t[1::2], rows, material.z_photo[[0] * 4]))
    levels = (grey(x).flatten(1).numpy() / 2 for x in (drawn, to_tensor(darkened.sketch).expand(4, -1, -1, -1)))
    apart = [wasserstein_distance(a, b) for a, b in zip(*levels, strict=True)]
    assert tone == pytest.approx(sum(apart) / len(draws.t), rel=1e-4)


def test_with_it_drawings_get_the_tones_of_the_pair(mini: FrozenInstructPix2Pix) -> None:
    pair = PhotoSketchPair.open(bundled_pictures() / "pair_photo.jpg", bundled_pictures() / "pair_sketch.png")
    photo, sketch = pair.tensors(128)

    def tone(config: InstructionLearnerConfig) -> float:
        rows = InstructionLearner(mini, config).learn(pair, progress=False).embeddings
        z_p = mini.encode_photo(photo)
        with torch.no_grad():
            drawn = mini.one_step(mini.predict(torch.zeros_like(z_p), torch.tensor([999]), rows[None], z_p))
        return wasserstein_distance(*(grey(x).flatten().numpy() for x in (drawn, sketch)))

    last = replace(BRIEF, select_every=0, ema_decay=0.0, learning_rate=0.03)
    assert tone(last) < 0.75 * tone(replace(last, tone_weight=0.0))


def test_micro_batches_add_up(mini: FrozenInstructPix2Pix, darkened: PhotoSketchPair) -> None:
    learner = InstructionLearner(mini, BRIEF)
    material = learner._encode([darkened], progress=False)
    draws = draw(learner.config, 0, 2, 1000, tuple(material.z_photo.shape[1:]))
    first, stop = material.start.ins
    free = material.start.rows[first:stop]
    whole = learner._losses(free, material, draws)
    parts = [part * learner._losses(free, material, some) for some, part in Shares(micro_batch=3).of(draws, 8)]
    assert len(parts) == 3
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)


def test_a_backbone_of_many_steps_learns_without(tiny_frozen: FrozenInstructPix2Pix, pair: PhotoSketchPair) -> None:
    small = {"steps": 2, "draws": 2, "grid": 2, "augmentations": 1, "rows": 5}
    learner = InstructionLearner(tiny_frozen, InstructionLearnerConfig(**small))  # type: ignore[arg-type]
    assert learner.config.tone_weight == 0
    record = learner.learn(pair, progress=False).record
    assert record.config["tone_weight"] == 0
    assert "tone" not in record.curve
