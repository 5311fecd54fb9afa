from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor

from oneshot_sketch.models.weight_field import WeightField, onto_simplex, solve


def random_field(rows: int, columns: int, k: int, representations: int = 1, seed: int = 0, spread: float = 0.0) -> WeightField:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    photos = [draw(rows, columns, k, 16) - draw(rows, columns, 1, 16) for _ in range(representations)]
    return WeightField.of(photos, draw(rows, columns, k, 1, 4, 4), overlap=2, alpha=1.0, beta=0.7, spread=spread)


def optimum_of_scipy(field: WeightField, shape: tuple[int, int, int]) -> float:
    """SLSQP over all weights at once, by the energy written out and its gradient."""
    mu = field.trusting_all()
    nodes, k = shape[0] * shape[1], shape[2]

    def energy(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(flat).view(shape)
        gradient = 2 * ((field.quadratic(mu) @ w[..., None])[..., 0] - field.pull(w))
        return field.energy(w, mu), gradient.flatten().numpy()

    sums = LinearConstraint(np.kron(np.eye(nodes), np.ones(k)), 1, 1)
    start = np.full(nodes * k, 1 / k)
    options = {"maxiter": 1000, "ftol": 1e-14}
    found = minimize(energy, start, jac=True, bounds=[(0, 1)] * len(start), constraints=sums, method="SLSQP", options=options)
    assert found.success
    return found.fun


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_energy_never_rises_and_ends_at_scipys_optimum(seed: int) -> None:
    field = random_field(3, 3, 5, seed=seed)
    solution = solve(field, sweeps=200, tolerance=0)
    assert all(after <= before + 1e-12 for before, after in pairwise(solution.energies))
    assert solution.energies[-1] < 0.99 * solution.energies[0]
    assert solution.energies[-1] == pytest.approx(optimum_of_scipy(field, (3, 3, 5)), rel=1e-4)
    assert solution.energies[-1] == pytest.approx(field.energy(solution.weights, solution.trust), rel=1e-12)


def test_the_energy_is_the_paper_s() -> None:
    """Against the sums written out patch by patch."""
    generator = torch.Generator().manual_seed(5)
    differences, sketches = torch.rand(2, 3, 4, 9, generator=generator), torch.rand(2, 3, 4, 1, 5, 5, generator=generator)
    field = WeightField.of([differences], sketches, overlap=2, alpha=1.3, beta=0.4)
    w = torch.rand(2, 3, 4, generator=generator).double()
    w = w / w.sum(-1, keepdim=True)
    drawn = torch.einsum("hwk,hwkcyx->hwcyx", w, sketches.double())
    expected = 1.3 * torch.einsum("hwk,hwkp->hwp", w, differences.double()).square().sum()
    expected += 0.4 * (drawn[:, :-1, ..., 3:] - drawn[:, 1:, ..., :2]).square().sum()
    expected += 0.4 * (drawn[:-1, ..., 3:, :] - drawn[1:, ..., :2, :]).square().sum()
    assert field.energy(w, field.trusting_all()) == pytest.approx(float(expected), rel=1e-12)


def on_simplex(v: Tensor) -> bool:
    return bool((v >= 0).all()) and torch.allclose(v.sum(-1), torch.ones(v.shape[:-1], dtype=v.dtype), atol=1e-12)


def test_weights_and_trust_stay_on_the_simplex() -> None:
    solution = solve(random_field(4, 5, 6, representations=3, spread=2.0), outer=5)
    assert on_simplex(solution.weights) and on_simplex(solution.trust.movedim(0, -1))
    energies = solution.energies
    assert all(after <= before + 1e-12 for before, after in pairwise(energies))
    assert not torch.allclose(solution.trust, torch.full_like(solution.trust, 1 / 3), atol=1e-3)


def test_the_representation_that_fits_is_trusted() -> None:
    field = random_field(3, 3, 4, representations=2, spread=1.0)
    unary = torch.stack([field.unary[0] * 1e-3, field.unary[1] * 10])
    trust = solve(WeightField(unary, field.right, field.down, spread=1.0), outer=5).trust
    assert (trust[0] > 0.9).all()


def test_one_candidate_leaves_nothing_to_choose() -> None:
    solution = solve(random_field(3, 4, 1))
    assert torch.equal(solution.weights, torch.ones(3, 4, 1, dtype=torch.float64))


def test_nearest_point_of_the_simplex() -> None:
    """Against scipy's projection of a few points."""
    for seed in range(5):
        v = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        near = minimize(
            lambda p, v=v: float(np.square(p - v.numpy()).sum()),
            np.full(6, 1 / 6),
            bounds=[(0, 1)] * 6,
            constraints=LinearConstraint(np.ones((1, 6)), 1, 1),
            options={"ftol": 1e-15},
        )
        assert np.allclose(onto_simplex(v).numpy(), near.x, atol=1e-5)
