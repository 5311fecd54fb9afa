"""The closed form of the prior's correction, against the problem it solves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from oneshot_sketch.guidance import prior_correction, two_scale_guidance

KINDS = ["epsilon", "v_prediction"]
LEVELS = [0.999, 0.5, 0.02]  # ᾱ


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clean(output: Tensor, noisy: Tensor, alpha: float, sigma: float, kind: str) -> Tensor:
    """The clean latent an output stands for, as every scheduler computes it."""
    return (noisy - sigma * output) / alpha if kind == "epsilon" else alpha * noisy - sigma * output


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", LEVELS)
def test_the_corrected_output_stands_for_the_minimiser(kind: Any, kept: float) -> None:
    alpha, sigma = kept**0.5, (1 - kept) ** 0.5
    output, noisy, prior = (drawn(2, 4, 8, 8, seed=k) for k in range(3))
    weight = drawn(2, 1, 8, 8, seed=3).abs() * 3
    corrected = prior_correction(output, noisy, prior, weight, alpha, sigma, kind)
    before, after = (clean(o, noisy, alpha, sigma, kind) for o in (output, corrected))
    x = after.clone().requires_grad_()
    loss = (x - before).square().sum() / sigma**2 + (weight.sqrt() * (x - prior)).square().sum()
    (slope,) = torch.autograd.grad(loss, x)
    assert slope.abs().max() < 1e-9 * max(1.0, float(before.abs().max()) / sigma**2)
    assert (after - before).abs().max() > 1e-3 * sigma**2


@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_returns_the_output_to_the_bit_and_a_great_one_the_prior(kind: Any) -> None:
    output, noisy, prior = (drawn(1, 4, 8, 8, seed=k).float() for k in range(3))
    nothing = prior_correction(output, noisy, prior, torch.zeros(1, 1, 8, 8), 0.6, 0.8, kind)
    assert torch.equal(nothing, output)
    corrected = prior_correction(output, noisy, prior, torch.full((1, 1, 8, 8), 1e9), 0.6, 0.8, kind)
    torch.testing.assert_close(clean(corrected, noisy, 0.6, 0.8, kind), prior, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_pure_noise_is_corrected_too(kind: Any) -> None:
    """ᾱ = 0, where an output in ε says nothing of the clean latent, and one in v is it, negative."""
    output, noisy, prior = (drawn(1, 4, 8, 8, seed=k) for k in range(3))
    corrected = prior_correction(output, noisy, prior, torch.ones(1, 1, 8, 8), 0.0, 1.0, kind)
    torch.testing.assert_close(corrected, (output + noisy) / 2 if kind == "epsilon" else (output - prior) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_prior_counts_less_the_more_the_step_has_seen(kind: Any) -> None:
    output, noisy, prior = (drawn(1, 4, 8, 8, seed=k) for k in range(3))
    shares = []
    for kept in LEVELS:
        alpha, sigma = kept**0.5, (1 - kept) ** 0.5
        corrected = prior_correction(output, noisy, prior, torch.ones(1, 1, 8, 8), alpha, sigma, kind)
        before, after = (clean(o, noisy, alpha, sigma, kind) for o in (output, corrected))
        shares.append(float(((after - before) / (prior - before)).median()))
    assert shares == pytest.approx([(1 - kept) / (2 - kept) for kept in LEVELS])


def test_correcting_and_guiding_commute() -> None:
    """Both are affine with coefficients that add up to one: correcting once, after guidance, corrects every branch."""
    outputs = [drawn(1, 4, 8, 8, seed=k) for k in range(3)]
    given: tuple[Any, ...] = (drawn(1, 4, 8, 8, seed=3), drawn(1, 4, 8, 8, seed=4), torch.ones(1, 1, 8, 8), 0.6, 0.8, "epsilon")
    each = two_scale_guidance(*(prior_correction(o, *given) for o in outputs), 7.5, 1.5)
    torch.testing.assert_close(prior_correction(two_scale_guidance(*outputs, 7.5, 1.5), *given), each)
