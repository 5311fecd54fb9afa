from __future__ import annotations

import pytest
import torch

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import LpipsDiversity, lpips_diversity
from oneshot_sketch.metrics.lpips import TappedDistance


def network() -> TappedDistance:
    torch.manual_seed(0)
    return TappedDistance("one layer", torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), [0], [torch.ones(4)])


def pictures(count: int, spread: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (0.4 * torch.ones(1, 3, 32, 32) + spread * torch.randn(count, 3, 32, 32, generator=generator)).clamp(-1, 1)


def test_it_is_the_mean_over_all_pairs() -> None:
    images, lpips = pictures(3, 0.2), network()
    pairs = [lpips(images[i : i + 1], images[j : j + 1]).item() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert lpips_diversity(images, lpips) == pytest.approx(sum(pairs) / 3, rel=1e-5)
    assert lpips_diversity(images.roll(1, 0), lpips) == pytest.approx(lpips_diversity(images, lpips), rel=1e-5)
    same = images[:1].expand(4, -1, -1, -1)
    assert lpips_diversity(same, lpips) == 0 < lpips_diversity(pictures(4, 0.05), lpips) < lpips_diversity(images, lpips)


def test_every_update_is_one_subject() -> None:
    metric = LpipsDiversity(network())
    subjects = [pictures(3, 0.1), -pictures(3, 0.3)]  # the two are far from one another, which must not count
    for subject in subjects:
        metric.update(subject)
    score = metric.compute()
    assert score.name == "LPIPS diversity (one layer, 3 pictures of each, 32 px)" and metric.higher_is_better
    assert score.per_image == pytest.approx([lpips_diversity(subject, network()) for subject in subjects])
    assert score.value == pytest.approx(sum(score.per_image) / 2)


def test_one_picture_is_refused_and_leaves_nothing_behind() -> None:
    metric = LpipsDiversity(network())
    with pytest.raises(InputError, match="two pictures or more"):
        metric.update(pictures(1, 0.1))
    with pytest.raises(InputError, match="judged no picture yet"):
        metric.compute()
