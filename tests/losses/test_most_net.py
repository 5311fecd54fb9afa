from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from oneshot_sketch.losses.memory import memory_refinement_loss
from oneshot_sketch.losses.most_net import discriminator_loss, feature_loss, generator_loss


def test_adversarial_losses_are_the_cross_entropies_of_the_paper() -> None:
    real, drawn = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    expected = F.binary_cross_entropy_with_logits(real, torch.ones_like(real)) + F.binary_cross_entropy_with_logits(
        drawn, torch.zeros_like(drawn)
    )
    torch.testing.assert_close(discriminator_loss(real, drawn), expected)
    torch.testing.assert_close(generator_loss(drawn), F.binary_cross_entropy_with_logits(drawn, torch.ones_like(drawn)))


def test_the_generator_still_learns_where_the_discriminator_is_sure() -> None:
    verdict = torch.tensor([-30.0], requires_grad=True)
    generator_loss(verdict).backward()
    assert verdict.grad is not None and verdict.grad.item() == pytest.approx(-1)


def test_feature_loss_sums_the_means_of_the_taps() -> None:
    drawn, wanted = (torch.zeros(2, 3, 4, 4), torch.ones(2, 8, 2, 2)), (torch.full((2, 3, 4, 4), 2.0), torch.zeros(2, 8, 2, 2))
    assert feature_loss(drawn, wanted).item() == 4 + 1


def test_refinement_compares_rows_of_the_read() -> None:
    photo, sketch = torch.randn(2, 7, 5), torch.randn(2, 7, 5)
    rows = [(a / 0.1).exp() / (a / 0.1).exp().sum(-1, keepdim=True) for a in (photo, sketch)]
    expected = sum(abs(float(a - b)) for a, b in zip(*(r.flatten() for r in rows), strict=True)) / 2 / 14
    assert memory_refinement_loss(photo, sketch, 0.1).item() == pytest.approx(expected, abs=1e-5)
    assert memory_refinement_loss(photo, photo, 0.1).item() == 0
    far = 100 * torch.eye(4)
    assert memory_refinement_loss(far, far.roll(1, 0), 0.1).item() == pytest.approx(1)  # never above 1


def test_refinement_by_cosines_is_their_mean_distance() -> None:
    photo, sketch = torch.tensor([[0.5, -1.0], [0.25, 0.0]]), torch.tensor([[0.5, 1.0], [-0.75, 0.0]])
    assert memory_refinement_loss(photo, sketch, None).item() == 3 / 4


@pytest.mark.parametrize("temperature", [0.1, None])
def test_refinement_draws_both_sides_to_the_same_item(temperature: float | None) -> None:
    photo = torch.tensor([[0.4, 0.0, -0.2]], requires_grad=True)
    sketch = torch.tensor([[0.0, 0.4, -0.2]], requires_grad=True)
    memory_refinement_loss(photo, sketch, temperature).backward()
    assert photo.grad is not None and sketch.grad is not None
    assert photo.grad[0, 0] > 0 > sketch.grad[0, 0]
    assert math.isfinite(photo.grad.sum())
