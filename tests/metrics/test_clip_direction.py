"""Directional similarity against transformers' own features and SciPy's cosine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.spatial.distance import cosine
from torch import Tensor
from transformers import CLIPModel

from oneshot_sketch.errors import InputError
from oneshot_sketch.losses.edit_direction import edit_direction
from oneshot_sketch.metrics import DirectionalSimilarity, directional_similarity
from oneshot_sketch.models.clip import OPENAI_MEAN, OPENAI_STD, TransformersClip


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    """Photos, drawn and artist's sketches of the tiny CLIP's own size, so that nothing is resized."""
    return [torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in range(3)]


def test_equals_transformers_and_scipy(tiny_backbone: Path, pictures: list[Tensor]) -> None:
    photos, drawn, true = pictures
    model = CLIPModel.from_pretrained(tiny_backbone / "clip").eval()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (OPENAI_MEAN, OPENAI_STD))
    with torch.no_grad():
        before, after, artist = (model.get_image_features((x / 2 + 0.5 - mean) / std).pooler_output.numpy() for x in pictures)
    clip = TransformersClip.from_pretrained(tiny_backbone / "clip")
    metric = DirectionalSimilarity(clip, "tiny CLIP")
    metric.update(drawn, true, photos)
    score = metric.compute()
    assert score.name == "CLIP directional similarity (tiny CLIP, along the artist, 16 px)"
    assert score.per_image == pytest.approx(
        [1 - cosine(y - x, z - x) for x, y, z in zip(before, after, artist, strict=True)], abs=1e-4
    )

    pair = edit_direction(torch.from_numpy(before[:1]), torch.from_numpy(artist[:1]))
    metric = DirectionalSimilarity(clip, "tiny CLIP", pair, "the learned pair")
    metric.update(drawn, photos=photos)  # no artist needed
    score = metric.compute()
    assert score.name == "CLIP directional similarity (tiny CLIP, along the learned pair, 16 px)"
    assert score.per_image == pytest.approx(
        [1 - cosine(y - x, artist[0] - before[0]) for x, y in zip(before, after, strict=True)], abs=1e-4
    )


def test_one_along_minus_one_against_and_zero_without_change() -> None:
    photos, change = torch.randn(3, 5), torch.randn(5)
    sketches = photos + torch.tensor([2.0, -0.5, 0.0])[:, None] * change
    torch.testing.assert_close(directional_similarity(photos, sketches, change), torch.tensor([1.0, -1.0, 0.0]))


def test_refuses_what_does_not_match() -> None:
    photos = torch.randn(3, 5)
    for sketches, direction in ((photos[:2], photos[0]), (photos, photos[:2]), (photos, photos[0, :4])):
        with pytest.raises(InputError, match="do not match"):
            directional_similarity(photos, sketches, direction)
    with pytest.raises(InputError, match="NaN"):
        directional_similarity(photos, photos, photos[0] * torch.nan)
