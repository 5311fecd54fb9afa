from __future__ import annotations

import math

import pytest
import torch

from oneshot_sketch.losses.memory import memory_refinement_loss


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
