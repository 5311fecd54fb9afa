from __future__ import annotations

import pytest
import torch

from oneshot_sketch.losses.ide import discriminator_loss, generator_terms


def test_terms_by_hand() -> None:
    fine, artist = torch.tensor([[[[0.2, 0.4]]]]), torch.tensor([[[[0.5, 0.4]]]])
    seen, wanted = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 1.0]])
    terms = generator_terms(fine, artist, seen, wanted, torch.tensor([[0.0]]))
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"pixel": 0.15, "perceptual": 1.5, "adversarial": 0.693147}, abs=1e-5
    )
    assert list(generator_terms(fine, artist, None, None, None)) == ["pixel"]


def test_the_generator_is_driven_to_be_taken_for_the_artist() -> None:
    verdict = torch.zeros(2, 1, requires_grad=True)
    generator_terms(torch.zeros(1), torch.zeros(1), None, None, verdict)["adversarial"].backward()
    assert verdict.grad is not None and (verdict.grad < 0).all()


def test_the_discriminator_is_driven_apart() -> None:
    artist, drawn = torch.zeros(2, 1, requires_grad=True), torch.zeros(2, 1, requires_grad=True)
    loss = discriminator_loss(artist, drawn)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2 * 0.693147, abs=1e-5)
    assert artist.grad is not None and drawn.grad is not None
    assert (artist.grad < 0).all() and (drawn.grad > 0).all()
