from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from oneshot_sketch.losses import (
    clip_directional_loss,
    clip_similarity_loss,
    discriminator_loss,
    generator_loss,
    part_crops,
    perceptual_loss,
    perceptual_mse_loss,
    r1_penalty,
)


def test_adversarial_terms_are_binary_cross_entropies_of_logits() -> None:
    real, fake = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = F.binary_cross_entropy(fake.sigmoid(), torch.ones_like(fake))
    assert torch.allclose(generator_loss(fake), expected, atol=1e-6)
    expected = F.binary_cross_entropy(real.sigmoid(), torch.ones_like(real))
    expected = expected + F.binary_cross_entropy(fake.sigmoid(), torch.zeros_like(fake))
    assert torch.allclose(discriminator_loss(real, fake), expected, atol=1e-6)


def test_the_generator_still_learns_where_the_discriminator_is_sure() -> None:
    """A sigmoid in the network would have no slope here."""
    fake = torch.tensor([-200.0], requires_grad=True)
    generator_loss(fake).backward()
    assert fake.grad is not None
    assert fake.grad.item() == -1


def test_both_sides_are_driven_the_right_way() -> None:
    real, fake, judged = (torch.zeros(2, 1, requires_grad=True) for _ in range(3))
    generator_loss(judged).backward()
    loss = discriminator_loss(real, fake)
    loss.backward()
    assert loss.item() == pytest.approx(2 * math.log(2))
    assert judged.grad is not None and real.grad is not None and fake.grad is not None
    assert (judged.grad < 0).all() and (real.grad < 0).all() and (fake.grad > 0).all()


def test_r1_by_hand() -> None:
    """D(x) = mean over patches of a·x², so ∇D = 2 a x / patches; γ/2 in front."""
    a, x = torch.tensor(3.0, requires_grad=True), torch.tensor([[1.0, -2.0], [0.5, 4.0]], requires_grad=True)
    penalty = r1_penalty(a * x**2, x, gamma=10.0)
    slope = 2 * 3 * x.detach() / 2
    assert torch.allclose(penalty, 5 * slope.square().sum(1).mean())
    penalty.backward()
    assert a.grad is not None
    assert math.isclose(a.grad.item(), 2 * penalty.item() / 3, rel_tol=1e-5), "it is quadratic in a, and can be descended"


def test_perceptual_loss_sums_the_means_of_the_maps() -> None:
    drawn, true = [torch.zeros(1, 2, 3, 3), torch.zeros(1, 4)], [torch.full((1, 2, 3, 3), 2.0), torch.ones(1, 4)]
    assert perceptual_loss(drawn, true) == 3
    with pytest.raises(ValueError, match="zip"):
        perceptual_loss(drawn, true[:1])


def test_perceptual_mse_loss_sums_the_mean_squares_of_the_maps() -> None:
    drawn, true = [torch.zeros(2, 3, 4, 4), torch.ones(2, 8, 2, 2)], [torch.full((2, 3, 4, 4), 2.0), torch.zeros(2, 8, 2, 2)]
    assert perceptual_mse_loss(drawn, true) == 4 + 1
    assert perceptual_mse_loss([of.bfloat16() for of in drawn], true).dtype == torch.float32
    with pytest.raises(ValueError, match="zip"):
        perceptual_mse_loss(drawn, true[:1])


def test_clip_terms() -> None:
    drawn, true, photo = torch.eye(3)[None].unbind(1)
    assert clip_similarity_loss(drawn, drawn * 7) == 0
    assert clip_similarity_loss(drawn, true) == 1
    assert torch.isclose(clip_directional_loss(drawn, true, photo), torch.tensor(0.5))
    assert clip_directional_loss(photo + 2 * (true - photo), true, photo).abs() < 1e-6


def test_parts_are_cropped_where_each_sample_has_them() -> None:
    images = torch.arange(2 * 8 * 8).float().view(2, 1, 8, 8).requires_grad_()
    centres = torch.tensor([[[2.5, 1.5], [6.0, 6.0]], [[0.0, 0.0], [math.nan, 3.0]]])
    crops = part_crops(images, centres, 4)
    assert crops.shape == (4, 1, 4, 4)
    x = images.detach()
    expected = [x[0, :, 0:4, 1:5], x[0, :, 4:8, 4:8], x[1, :, 0:4, 0:4], x[1, :, 2:6, 2:6]]
    assert torch.equal(crops, torch.stack(expected)), "shifted inside, and no NaN"
    crops.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad[0].sum() == 32
