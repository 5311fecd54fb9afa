"""Drawings of the pair are judged as pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from oneshot_sketch import FrozenInstructPix2Pix, InstructionLearner, InstructionLearnerConfig, OneShotSketchPipeline
from oneshot_sketch.images import to_pil, to_tensor
from oneshot_sketch.learners.likeness import TONE_WEIGHT, compare, drawn_in_one_step, likeness
from oneshot_sketch.metrics import fsim, tone_distance
from oneshot_sketch.pair import PhotoSketchPair

LOOK = "paper 9 ink 3 blacks 2 midtones 2 grain 2 lines 4 tone 4 shading 6 background 0 face 1"


def drawn(mini: FrozenInstructPix2Pix, oval: Tensor, caption: str) -> Tensor:
    pipe = OneShotSketchPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    settings = {**mini.drawing, "resolution": 128, "output_type": "pt"}  # learning's own
    return pipe(caption, image=oval, generator=torch.Generator().manual_seed(3), **settings).images * 2 - 1


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.25, 1.5)])
def test_it_is_fsim_less_tone_of_what_the_pipeline_draws_in_a_step(
    mini: FrozenInstructPix2Pix, oval: Tensor, scales: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = {"num_inference_steps": 1, "guidance_scale": scales[0], "image_guidance_scale": scales[1]}
    monkeypatch.setattr(mini, "drawing", drawing)
    caption = f"pencil line drawing thin dark {LOOK}"
    sketch = drawn(mini, oval, caption).flip(-1)
    rows, neutral = mini.encode_text([caption, ""])
    ours = likeness(*compare(drawn_in_one_step(mini, rows[None], neutral, mini.encode_photo(oval), seed=3), sketch)[:2])
    picture = drawn(mini, oval, caption)
    theirs = fsim(picture, sketch) - TONE_WEIGHT * tone_distance(picture, sketch)
    assert ours.shape == (1,)
    assert ours.item() == pytest.approx(theirs.item(), abs=2e-3)  # the pipeline rounds to the precision of its pictures


def test_the_step_that_draws_the_pair_best_is_kept(mini: FrozenInstructPix2Pix, oval: Tensor) -> None:
    sketch = drawn(mini, oval, f"first artist sketch {LOOK}")
    pair = PhotoSketchPair(to_pil(oval)[0], to_pil(sketch)[0])
    assert to_tensor(pair.sketch).shape == sketch.shape
    settings = {"steps": 4, "select_every": 1, "draws": 2, "grid": 2, "learning_rate": 0.05, "edit_weight": 0.0}
    record = InstructionLearner(mini, InstructionLearnerConfig(**settings)).learn(pair, progress=False).record
    best = max(range(5), key=lambda i: record.curve["likeness"][i])
    assert record.best_step == record.curve["step"][best]
    assert record.losses["likeness kept"] == record.curve["likeness"][best]
    plain = InstructionLearner(mini, InstructionLearnerConfig(**settings, judge="loss")).learn(pair, progress=False).record
    assert "likeness" not in plain.curve
    assert plain.losses["total kept"] == min(plain.curve["total"])
