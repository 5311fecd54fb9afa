from __future__ import annotations

import torch

from oneshot_sketch.learners.shared_augmentation import AdaptiveProbability, random_transforms, transformed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_at_probability_nought_nothing_moves() -> None:
    moves = random_transforms(8, 0.0, generator())
    assert torch.equal(moves, torch.eye(2, 3).expand(8, 2, 3))
    image = torch.rand(8, 1, 9, 9)
    assert transformed(image, moves) is image


def test_the_same_draw_moves_everything_alike() -> None:
    """What lies on the same pixel stays together, or the photo would no longer lie under its sketch."""
    photo = torch.rand(16, 1, 24, 24, generator=generator(1))
    moves = random_transforms(16, 0.6, generator(2))
    assert len(moves.flatten(1).unique(dim=0)) > 8, "each sample has its own"
    assert torch.equal(transformed(photo, moves), transformed(photo.clone(), moves))
    together = transformed(torch.cat([photo, 1 - photo], 1), moves)
    assert torch.allclose(together[:, :1] + together[:, 1:], torch.ones(16, 1, 24, 24), atol=1e-5)


def test_more_often_with_a_larger_probability() -> None:
    still = torch.eye(2, 3)
    moved = [sum(not torch.equal(m, still) for m in random_transforms(400, p, generator(3))) / 400 for p in (0.05, 0.3, 0.6)]
    assert moved == sorted(moved)
    assert 0.15 < moved[0] < 0.45
    assert moved[2] > 0.95


def test_mirroring_is_a_transform() -> None:
    image = torch.rand(1, 1, 6, 6)
    assert torch.allclose(transformed(image, torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])), image.flip(-1), atol=1e-6)


def test_gradients_pass() -> None:
    image = torch.rand(2, 1, 8, 8, requires_grad=True)
    transformed(image, random_transforms(2, 0.6, generator(4))).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_the_probability_follows_the_discriminator() -> None:
    """Up by limit · seen / ramp each 128 sketches while D is surer than the target, down while it is not, within its limits."""
    ada = AdaptiveProbability(target=0.6, limit=0.5, ramp=1280)
    for _ in range(31):
        ada.observe(torch.ones(4, 1, 2, 2))
    assert ada.value == 0
    ada.observe(torch.ones(4, 1, 2, 2))
    assert ada.value == 0.05
    assert ada.seen == 0
    for _ in range(20 * 32):
        ada.observe(torch.ones(4, 1, 2, 2))
    assert ada.value == 0.5
    unsure = torch.tensor([1.0, 1, 1, -1]).view(1, 1, 2, 2).expand(4, -1, -1, -1)  # r = 0.5
    for _ in range(32):
        ada.observe(unsure)
    assert ada.value == 0.45
    for _ in range(20 * 32):
        ada.observe(-unsure)
    assert ada.value == 0
