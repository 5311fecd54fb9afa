"""The grey form of the paper's evaluation."""

from __future__ import annotations

import numpy as np
from conftest import picture
from PIL import Image

from oneshot_sketch.data import high_contrast_grey


def by_definition(brightness: np.ndarray) -> np.ndarray:
    """Mean + 1.5 × distance from the mean, in [0, 255]; the mean is rounded to a grey level."""
    mean = int(brightness.mean() + 0.5)
    return (mean + 1.5 * (brightness.astype(float) - mean)).clip(0, 255)


def test_it_is_grey_with_half_again_the_contrast() -> None:
    sketch = picture(64, 48, seed=2)
    done = high_contrast_grey(sketch)
    assert (done.mode, done.size) == ("L", (64, 48))
    assert np.abs(np.asarray(done, float) - by_definition(np.asarray(sketch.convert("L")))).max() <= 1


def test_grey_stays_the_same_grey_before_the_contrast() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert np.abs(np.asarray(high_contrast_grey(ramp), float) - by_definition(np.asarray(ramp))).max() <= 1


def test_white_paper_stays_white_where_nothing_was_drawn() -> None:
    paper = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    assert np.asarray(high_contrast_grey(paper)).min() == 255
