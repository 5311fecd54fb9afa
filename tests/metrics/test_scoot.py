"""`scoot` against the authors' ScootMeasure.m, and its co-occurrences against scikit-image's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.feature import graycomatrix, graycoprops
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import scoot
from oneshot_sketch.metrics.scoot import NEIGHBOURS, _pairs

Drawing = Callable[[int, int, int], Tensor]
# What ScootMeasure.m answers under GNU Octave 7.3 for these drawings saved as PNG, with `graycomatrix` and
# `graycoprops` written from MATLAB's documentation, since Octave's are others.
AUTHORS = [
    (101, 134, 1, 0.3123361636),
    (101, 134, 2, 0.1775548040),
    (250, 200, 1, 0.3020037254),
    (250, 200, 2, 0.1790744986),
    (64, 64, 1, 0.3132549859),
    (64, 64, 2, 0.1633915359),
]


@pytest.mark.parametrize("height, width, seed, expected", AUTHORS)
def test_equals_the_authors_code(height: int, width: int, seed: int, expected: float, drawing: Drawing) -> None:
    value = scoot(drawing(height, width, 0), drawing(height, width, seed)).item()
    assert value == pytest.approx(expected, abs=1e-5)


def test_equals_scikit_image_block_by_block(drawing: Drawing) -> None:
    """Without the authors' rounding of counts, which moves it by little at this size."""

    def textures(picture: torch.Tensor) -> list[float]:
        levels = np.minimum(6 * ((picture[0, 0] + 1) * 127.5).round().numpy().astype(int) // 255, 5).astype(np.uint8)
        rows = []
        for strip in np.split(levels, 4):
            for block in np.split(strip, 4, axis=1):
                p = graycomatrix(block, [1], [0, -np.pi / 4, -np.pi / 2, -3 * np.pi / 4], levels=6).mean(3, keepdims=True)
                rows += [graycoprops(p / p.sum(), kind).item() for kind in ("contrast", "ASM")]
        return rows

    a, b = drawing(240, 320, 0), drawing(240, 320, 2)
    expected = 1 / (1 + np.linalg.norm(np.subtract(textures(a), textures(b))))
    assert scoot(a, b).item() == pytest.approx(expected, abs=1e-3)


def test_counts_equal_scikit_image() -> None:
    block = torch.randint(0, 6, (2, 9, 7), generator=torch.Generator().manual_seed(0))
    for down, right in NEIGHBOURS:
        expected = [graycomatrix(x.numpy().astype(np.uint8), [1], [np.arctan2(down, right)], levels=6)[..., 0, 0] for x in block]
        assert _pairs(block, down, right).tolist() == np.stack(expected).tolist()


def test_a_batch_is_judged_picture_by_picture(drawing: Drawing) -> None:
    a, b = drawing(60, 50, 0).expand(3, -1, -1, -1), torch.cat([drawing(60, 50, seed) for seed in (0, 1, 2)])
    together = scoot(a, b)
    torch.testing.assert_close(together, torch.cat([scoot(a[:1], x[None]) for x in b]))
    assert together[0] == 1 and together.diff().max() < 0


def test_forgives_a_shift_and_a_blank_drawing_has_a_number(drawing: Drawing) -> None:
    a = drawing(128, 128, 0)
    blank = torch.ones_like(a)
    assert scoot(a, a.roll(1, 3)).item() > 0.7 > 0.2 > scoot(a, blank).item()
    assert scoot(blank, blank).item() == 1


def test_refuses_too_small_pictures() -> None:
    with pytest.raises(InputError, match="at least 8 pixels"):
        scoot(torch.zeros(1, 3, 7, 40), torch.zeros(1, 3, 7, 40))
