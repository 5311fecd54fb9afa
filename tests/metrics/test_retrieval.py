"""`rank_one` against SciPy's cosine distances and torchmetrics' hit rate."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_hit_rate

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import Features, IdentityRetrieval, rank_k, rank_one


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


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_rank_k_equals_scipy_and_torchmetrics(k: int) -> None:
    gallery, gallery_ids, probes, probe_ids = faces(noise=3.0)
    hits = rank_k(gallery, gallery_ids, probes, probe_ids, k)
    for hit, row, name in zip(hits, cdist(probes.numpy(), gallery.numpy(), "cosine"), probe_ids, strict=True):
        own = torch.tensor([other == name for other in gallery_ids])
        assert retrieval_hit_rate(1 - torch.from_numpy(row), own, top_k=k).item() == hit.item()
    assert 0 < hits.sum() < len(hits)


def test_a_person_with_many_pictures_is_found_by_the_nearest_of_them() -> None:
    gallery = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    probe = torch.tensor([[1.0, 0.05]])
    assert rank_k(gallery, ["b", "b", "a", "c"], probe, ["c"], 2).item() is False  # both of b's come first
    assert rank_k(gallery, ["b", "b", "a", "c"], probe, ["c"], 3).item() is True
    assert rank_k(gallery, ["c", "b", "a", "c"], probe, ["c"], 1).item() is True


def test_the_accumulator_counts_hits_among_the_first_k_and_says_so() -> None:
    pictures = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    shuffled = (pictures + 2 * pictures.roll(1, 0)) / 3  # the neighbour comes first, the own second
    rates = []
    for k in (1, 2):
        metric = IdentityRetrieval(Features("pixels", lambda x: x.flatten(1)), "truths", k)
        metric.update(shuffled, truths=pictures, identities=list("abcdef"))
        score = metric.compute()
        assert score.name == f"Rank-{k} identity retrieval (pixels, cosine, among truths, 6 people, 4 px)"
        rates.append(score.value)
    assert rates == [0.0, 1.0]


def test_features_that_see_no_difference_find_nobody() -> None:
    same = torch.ones(4, 3)
    assert not rank_one(same, list("abcd"), same, list("abcd")).any()
    assert not rank_k(same, list("abcd"), same, list("abcd"), 3).any()
    assert rank_k(same, list("abcd"), same, list("abcd"), 4).all()
    assert rank_one(torch.eye(4), list("abcd"), torch.eye(4), list("abcd")).all()


def test_refuses_what_it_cannot_use() -> None:
    gallery, gallery_ids, probes, probe_ids = faces(3)
    with pytest.raises(InputError, match="at least two people"):
        rank_one(gallery[:1], ["a"], probes[:1], ["a"])
    with pytest.raises(InputError, match="nobody called stranger"):
        rank_one(gallery, gallery_ids, probes, [*probe_ids[:2], "stranger"])
    with pytest.raises(InputError, match="one name a picture, not 2 for 3"):
        rank_one(gallery, gallery_ids, probes, probe_ids[:2])
    with pytest.raises(InputError, match="k is 0; it must be at least 1"):
        rank_k(gallery, gallery_ids, probes, probe_ids, 0)
    with pytest.raises(InputError, match="two widths"):
        rank_one(gallery, gallery_ids, probes[:, 1:], probe_ids)
    with pytest.raises(InputError, match="NaN"):
        rank_one(gallery, gallery_ids, probes * torch.inf, probe_ids)
