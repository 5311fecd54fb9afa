from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from oneshot_sketch.losses.discriminative import fine_grained_loss, triplet_loss
from oneshot_sketch.losses.distillation import distillation_loss


def test_distillation_compares_the_first_latents_of_each_row_only() -> None:
    draw = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 6, 4, generator=draw, requires_grad=True)
    target = torch.randn(3, 9, 4, generator=draw)
    counts = torch.tensor([1, 4, 6])
    loss = distillation_loss(predicted, target, counts)
    by_hand = torch.stack([F.mse_loss(predicted[i, :n], target[i, :n]) for i, n in enumerate(counts)]).mean()
    assert torch.allclose(loss, by_hand)
    loss.backward()
    assert predicted.grad is not None
    touched = predicted.grad.abs().sum(2) > 0
    assert touched.tolist() == [[place < n for place in range(6)] for n in (1, 4, 6)]
    changed = target.clone()
    changed[0, 1:], changed[1, 4:], changed[2, 6:] = 100.0, 100.0, float("nan")
    assert torch.equal(distillation_loss(predicted, changed, counts), loss)


@pytest.mark.parametrize("counts", [[0, 2], [1, 4]])
def test_counts_out_of_range_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="3 latents were predicted"):
        distillation_loss(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1), torch.tensor(counts))


def test_the_fine_grained_loss_is_one_minus_the_cosine() -> None:
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    b = torch.tensor([[5.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])
    assert [float(fine_grained_loss(a[i : i + 1], b[i : i + 1])) for i in range(3)] == pytest.approx([0, 1, 2])
    assert float(fine_grained_loss(a, b)) == pytest.approx(1)


def test_the_triplet_loss_rests_once_the_margin_is_kept() -> None:
    anchor, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.3, 0.4]]), torch.tensor([[0.0, 0.6]])
    assert float(triplet_loss(anchor, near, far)) == pytest.approx(0.2 + 0.5 - 0.6, abs=1e-4)
    assert float(triplet_loss(anchor, near, 2 * far)) == 0
