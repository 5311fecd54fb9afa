from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from tiny_stylegan import drawn_face, tiny_stylegan

from oneshot_sketch import InputError, PhotoSketchPair
from oneshot_sketch.benchmark import Unavailable, build, known_systems
from oneshot_sketch.learners.stylesketch import StyleSketchGenerator

QUICK = {"steps": 3, "clip_weight": 0, "perceptual_weight": 0, "part_weight": 0, "width": 8, "discriminator_width": 4}


def test_without_a_prior_it_says_so(tmp_path: Path) -> None:
    assert "stylesketch" in known_systems()
    with pytest.raises(Unavailable, match="prior"):
        build("stylesketch", {"prior": str(tmp_path), "changes": QUICK})


def test_settings_that_are_none_are_named() -> None:
    with pytest.raises(InputError, match="cannot be built"):
        build("stylesketch", {"changes": {"epochs": 3}})
    with pytest.raises(InputError, match="steps is 0"):
        build("stylesketch", {"changes": {"steps": 0}})


class OneFace:
    """Always finds the same points of a 48-pixel picture."""

    def find(self, photo: Any) -> list[Any]:
        points = np.array([[18.0, 23], [30, 23], [24, 30], [19, 35], [29, 35]])
        return [SimpleNamespace(points=points, score=1.0, yaw=0.0, drawn=0.0, size=12.0)]


@pytest.mark.parametrize("count", [1, 2])
def test_it_learns_from_pairs_and_draws_photos_in_their_size(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("oneshot_sketch.sketch_prior")
    stylegan = tiny_stylegan()
    config = module.SketchPriorConfig(inversion=module.InversionConfig(steps=3))
    prior = module.SketchPrior(stylegan, StyleSketchGenerator.for_stylegan(stylegan), OneFace(), config=config)
    monkeypatch.setattr(module.SketchPrior, "from_pretrained", lambda *_, **__: prior)
    pairs = [PhotoSketchPair(picture(48, 48, i), drawn_face(i, 48).convert("RGB"), name=f"face {i}") for i in range(count)]
    drawn = []
    for _ in range(2):
        system = build("stylesketch", {"changes": QUICK})
        system.learn(pairs)
        drawn.append([np.asarray(sketch) for sketch in system.sketch([picture(48, 48, seed) for seed in (3, 4)])])
    assert [sketch.shape for sketch in drawn[0]] == [(48, 48, 3)] * 2
    assert all(np.array_equal(a, b) for a, b in zip(*drawn, strict=True))
    assert not np.array_equal(drawn[0][0], drawn[0][1])
    assert torch.equal(prior.generator.w_avg, stylegan.w_avg)


class NoFace(OneFace):
    """As `OneFace`, but blind to dark pictures."""

    def find(self, photo: Any) -> list[Any]:
        return super().find(photo) if np.asarray(photo).mean() > 30 else []


def test_a_photo_without_a_face_is_left_white_and_others_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("oneshot_sketch.sketch_prior")
    stylegan = tiny_stylegan()
    config = module.SketchPriorConfig(inversion=module.InversionConfig(steps=3))
    prior = module.SketchPrior(stylegan, StyleSketchGenerator.for_stylegan(stylegan), NoFace(), config=config)
    monkeypatch.setattr(module.SketchPrior, "from_pretrained", lambda *_, **__: prior)
    dark = Image.new("RGB", (48, 48))
    system = build("stylesketch", {"changes": QUICK})
    system.learn([PhotoSketchPair(dark, drawn_face(0, 48)), PhotoSketchPair(picture(48, 48), drawn_face(1, 48))])
    white, drawn = (np.asarray(sketch) for sketch in system.sketch([dark, picture(48, 48, 3)]))
    assert white.shape == drawn.shape
    assert (white == 255).all()
    assert drawn.std() > 0
