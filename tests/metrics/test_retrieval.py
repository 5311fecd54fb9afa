"""`rank_one` against SciPy's cosine distances and torchmetrics' hit rate."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_hit_rate

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import rank_one


def faces(people: int = 30, noise: float = 1.2) -> tuple[Tensor, list[str], Tensor, list[str]]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(people, 6, generator=generator)
    gallery = torch.cat([centres, centres + 0.1 * torch.randn(people, 6, generator=generator)])
    probes = 3 * centres.flip(0) + noise * torch.randn(people, 6, generator=generator)
    names = [f"person {i}" for i in range(people)]
    return gallery, names * 2, probes, names[::-1]


def test_equals_scipy_and_torchmetrics() -> None:
    gallery, gallery_ids, probes, probe_ids = faces()
    hits = rank_one(gallery, gallery_ids, probes, probe_ids)
    distances = cdist(probes.numpy(), gallery.numpy(), "cosine")
    assert hits.tolist() == [gallery_ids[row.argmin()] == name for row, name in zip(distances, probe_ids, strict=True)]
    for hit, row, name in zip(hits, distances, probe_ids, strict=True):
        own = torch.tensor([other == name for other in gallery_ids])
        assert retrieval_hit_rate(1 - torch.from_numpy(row), own, top_k=1).item() == hit.item()
    assert 0 < hits.sum() < len(hits)


def test_features_that_see_no_difference_find_nobody() -> None:
    same = torch.ones(4, 3)
    assert not rank_one(same, list("abcd"), same, list("abcd")).any()
    assert rank_one(torch.eye(4), list("abcd"), torch.eye(4), list("abcd")).all()


def test_refuses_what_it_cannot_use() -> None:
    gallery, gallery_ids, probes, probe_ids = faces(3)
    with pytest.raises(InputError, match="at least two people"):
        rank_one(gallery[:1], ["a"], probes[:1], ["a"])
    with pytest.raises(InputError, match="nobody called stranger"):
        rank_one(gallery, gallery_ids, probes, [*probe_ids[:2], "stranger"])
    with pytest.raises(InputError, match="one name a picture, not 2 for 3"):
        rank_one(gallery, gallery_ids, probes, probe_ids[:2])
    with pytest.raises(InputError, match="two widths"):
        rank_one(gallery, gallery_ids, probes[:, 1:], probe_ids)
    with pytest.raises(InputError, match="NaN"):
        rank_one(gallery, gallery_ids, probes * torch.inf, probe_ids)
