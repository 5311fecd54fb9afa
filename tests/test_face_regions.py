from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from oneshot_sketch import InputError
from oneshot_sketch.errors import InputError as Absent
from oneshot_sketch.face_regions import RegionFinder, masked

IMAGES = torch.zeros(2, 3, 64, 64)


def parsed(images: Tensor) -> Tensor:
    """Face in the middle, hair above; eyes, nose and lips in the first picture alone."""
    labels = torch.zeros(len(images), 512, 512, dtype=torch.int64)
    labels[:, 128:384, 128:384] = 1
    labels[:, 64:128] = 17
    labels[0, 200:216, 160:176] = 5
    labels[0, 200:216, 320:336] = 4
    labels[0, 264:280, 248:264] = 10
    labels[0, 320:328, 232:280] = 12
    labels[0, 328:336, 232:280] = 13
    return labels


def test_a_parser_says_where_things_are() -> None:
    regions = RegionFinder(parsed)(IMAGES)
    assert torch.allclose(regions.centres[0], torch.tensor([[20.5, 25.5], [40.5, 25.5], [31.5, 33.5], [31.5, 40.5]]), atol=0.51)
    assert regions.hair.unique().tolist() == [0, 1]
    face = regions.face[0, 0].nonzero()
    assert face.min(0).values.tolist() == [17, 17], "hair is dilated, by nine pixels of 1024"
    assert face.max(0).values.tolist() == [46, 46]


def test_what_a_parser_misses_is_where_it_always_is() -> None:
    """No class, no NaN: the first picture's parts do not leak into the second."""
    regions, fixed = RegionFinder(parsed)(IMAGES), RegionFinder()(IMAGES)
    assert torch.equal(regions.centres[1], fixed.centres[1])
    assert torch.allclose(fixed.centres[0, :2] * 16, torch.tensor([[382.0, 485.0], [639.0, 485.0]]), atol=9)
    scores = torch.nn.functional.one_hot(parsed(IMAGES), 19).movedim(-1, 1).float()
    assert torch.equal(RegionFinder(lambda images: scores)(IMAGES).centres, regions.centres)


def test_landmarks_come_before_fixed_places() -> None:
    points = np.array([[20, 20], [36, 20], [28, 28], [23, 38], [33, 38]], float)
    asked = iter([points, None])

    def landmarks(picture: object) -> np.ndarray:
        found = next(asked)
        if found is None:
            raise Absent("no face")
        return found

    regions = RegionFinder(landmarks=landmarks)(IMAGES)
    assert torch.equal(regions.centres[0], torch.tensor([[20.0, 20], [36, 20], [28, 28], [28, 38]]))
    assert torch.equal(regions.centres[1], RegionFinder()(IMAGES).centres[1])
    face = regions.face[0, 0].nonzero().float()
    assert torch.allclose(face.mean(0), torch.tensor([29.0, 28.0]), atol=0.5), "an ellipse between eyes and mouth"
    assert 0.3 < regions.face[1].mean() * 4 < 1.2


def test_masked_out_is_paper() -> None:
    regions = RegionFinder(parsed)(IMAGES)
    grey = torch.full((2, 1, 64, 64), 0.25)
    hair, face = masked(grey, regions.hair), masked(grey, regions.face)
    assert hair.unique().tolist() == [0.25, 1.0]
    assert torch.equal(hair + face, torch.full_like(hair, 1.25))


def test_what_is_no_parser_is_refused() -> None:
    with pytest.raises(InputError, match="19 classes"):
        RegionFinder(lambda images: torch.zeros(2, 11, 512, 512))(IMAGES)
