"""What the embedded way back was made with: filters of many settings, and mirrored pairs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from oneshot_sketch.images import open_image, square, to_tensor

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("way_back_pairs", ROOT / "recipes" / "mini_prior" / "way_back_pairs.py")
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)
PHOTO = sorted((ROOT / "assets/quickstart/photos").glob("portrait_*.jpg"))[0]


def test_every_setting_draws_otherwise_and_always_alike() -> None:
    photo = to_tensor(square(open_image(PHOTO), 64))
    drawn = [recipe.filter_of(setting)(photo) for setting in range(10)]
    for setting, sketch in enumerate(drawn):
        assert sketch.shape == (1, 1, 64, 64) and -1 <= sketch.min() < sketch.max() <= 1
        assert torch.equal(sketch, recipe.filter_of(setting)(photo))
        assert sketch.std() > 0.05, "it is no blank sheet"
    apart = torch.pdist(torch.cat(drawn).flatten(1))
    assert apart.min() > 0.5


def test_mirrored_pairs_stay_pairs() -> None:
    photos, sketches = (torch.rand(3, channels, 8, 8) for channels in (3, 1))
    both = [recipe.mirrored(pictures) for pictures in (photos, sketches)]
    assert all(len(pictures) == 6 for pictures in both)
    assert torch.equal(both[0][4], photos[1].flip(-1)) and torch.equal(both[1][4], sketches[1].flip(-1))
