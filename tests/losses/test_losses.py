from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from oneshot_sketch.losses import draw_weight, edit_cosine, edit_direction, edit_direction_loss, pool_rows, reconstruction_loss


def test_reconstruction_is_the_mean_squared_error() -> None:
    a, b = torch.randn(2, 3, 4, 5, 5)
    torch.testing.assert_close(reconstruction_loss(a, b), F.mse_loss(a, b))


def test_reconstruction_weighs_draws() -> None:
    a, b = torch.randn(2, 2, 4, 5, 5)
    weight = torch.tensor([1.0, 3.0])
    expected = (F.mse_loss(a[0], b[0]) + 3 * F.mse_loss(a[1], b[1])) / 2
    torch.testing.assert_close(reconstruction_loss(a, b, weight), expected)


@pytest.mark.parametrize("weighting", ["epsilon", "sample"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_weights_turn_one_error_into_another(kind: str, weighting: str) -> None:
    """Perturb the network's output, convert to ε or z by their definitions, and compare squared errors."""
    alpha = torch.tensor([0.9, 0.4, 0.05], dtype=torch.float64)
    a, s = alpha.sqrt().view(-1, 1, 1, 1), (1 - alpha).sqrt().view(-1, 1, 1, 1)
    z, noise, delta = torch.randn(3, 3, 2, 4, 4, dtype=torch.float64)
    x = a * z + s * noise
    truth = noise if kind == "epsilon" else a * noise - s * z
    wrong = truth + delta
    if kind == "epsilon":
        other = wrong if weighting == "epsilon" else (x - s * wrong) / a
    else:
        other = a * wrong + s * x if weighting == "epsilon" else a * x - s * wrong
    goal = noise if weighting == "epsilon" else z
    expected = (other - goal).pow(2).mean((1, 2, 3))
    weight = draw_weight(alpha, kind, weighting)  # type: ignore[arg-type]
    torch.testing.assert_close(weight * delta.pow(2).mean((1, 2, 3)), expected)


def test_edit_loss_falls_as_the_text_turns_towards_the_edit() -> None:
    direction = edit_direction(torch.zeros(1, 2), torch.tensor([[3.0, 0.0]]))
    torch.testing.assert_close(direction, torch.tensor([1.0, 0.0]))
    angles = torch.tensor([0.0, 1.0, 2.0, 3.1])
    losses = [edit_direction_loss(edit_cosine(direction, torch.stack([a.cos(), a.sin()]))) for a in angles]
    assert losses == sorted(losses)
    torch.testing.assert_close(losses[0], torch.tensor(0.0))


def test_edit_loss_is_flat_above_the_clamp() -> None:
    cosine = torch.tensor(0.7, requires_grad=True)
    edit_direction_loss(cosine, clamp=0.5).backward()
    assert cosine.grad == 0
    below = torch.tensor(0.3, requires_grad=True)
    edit_direction_loss(below, clamp=0.5).backward()
    assert below.grad == -1


def test_pooling() -> None:
    rows = torch.arange(12.0).view(6, 2)
    torch.testing.assert_close(pool_rows(rows, (1, 3), "ins"), rows[1:3].mean(0))
    torch.testing.assert_close(pool_rows(rows, (1, 3), "all"), rows.mean(0))
