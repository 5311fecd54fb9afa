from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import Features, FineGrainedMeasure, fine_grained_similarity

PIXELS = Features("pixels", lambda images: images.flatten(1))


def test_equals_scipy() -> None:
    a, b = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = [1 - cosine(x, y) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert fine_grained_similarity(a, b).tolist() == pytest.approx(expected, abs=1e-6)


def test_what_was_drawn_is_held_against_what_it_was_drawn_from() -> None:
    given, other = torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    metric = FineGrainedMeasure(PIXELS)
    for part in (slice(0, 3), slice(3, 4)):  # truths are not asked
        metric.update(given[part] * 0.5, truths=other[part], photos=given[part])
    score = metric.compute()
    assert score.per_image == pytest.approx([1.0] * 4)
    assert score.name == "Fine-grained measure (pixels, cosine, 8 px)" and metric.higher_is_better
    wrong = FineGrainedMeasure(PIXELS)
    wrong.update(other, photos=given)
    assert abs(wrong.compute().value) < 0.5 and np.std(wrong.compute().per_image or ()) > 0


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="needs photos"):
        FineGrainedMeasure(PIXELS).update(torch.zeros(1, 3, 8, 8))
