"""`ssim` against scikit-image's, which follows Wang et al.'s own code."""

from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey
from oneshot_sketch.metrics import ssim


def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(3, 3, 40, 56, generator=generator) * 2 - 1
    b = (a + torch.tensor([0.05, 0.3, 1.0]).view(3, 1, 1, 1) * torch.randn(a.shape, generator=generator)).clamp(-1, 1)
    return a, b


def test_equals_skimage() -> None:
    a, b = pictures()
    first, second = (grey(x)[:, 0].double().numpy() / 2 + 0.5 for x in (a, b))
    expected = [
        structural_similarity(x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for x, y in zip(first, second, strict=True)
    ]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-5)


def test_is_symmetric_and_one_for_equal_pictures() -> None:
    a, b = pictures()
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    torch.testing.assert_close(ssim(a, a), torch.ones(3))
    assert ssim(a[:1], b[:1]).shape == (1,)


def test_sees_grey_only() -> None:
    a, _ = pictures()
    torch.testing.assert_close(ssim(a, grey(a).expand_as(a)), torch.ones(3))


@pytest.mark.parametrize("shape", [(2, 3, 40, 56), (3, 1, 40, 56), (3, 3, 40, 40)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="one shape"):
        ssim(pictures()[0], torch.zeros(shape))


def test_refuses_pictures_no_larger_than_the_window() -> None:
    with pytest.raises(InputError, match="at least 12 pixels"):
        ssim(torch.zeros(1, 3, 11, 40), torch.zeros(1, 3, 11, 40))
