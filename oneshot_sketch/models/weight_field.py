"""The convex programme of Markov weight fields (Zhou, Kuang & Wong 2012): every node of a grid mixes its candidates.

    E(W, μ) = α Σ_i Σ_r μ_ir ‖x_i^r − X_i^r w_i‖² + β Σ_(i,j) ‖O_ij w_i − O_ji w_j‖² + λ/2 Σ_i ‖μ_i‖²

over weights w_i and, with more than one representation r, over μ_i, all on the probability simplex; (i, j) runs over
neighbours to the right and below. Grids are (H, W) nodes with K candidates, everything in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Edges:
    """The smoothness terms of all neighbours in one direction, i the left or upper node, j the other.

    Attributes:
        here: O_ij' O_ij (h, w, K, K).
        there: O_ji' O_ji (h, w, K, K).
        across: O_ij' O_ji (h, w, K, K).
    """

    here: Tensor
    there: Tensor
    across: Tensor

    @classmethod
    def of(cls, first: Tensor, second: Tensor) -> Edges:
        """From candidates' overlaps (h, w, K, P) of both nodes, which show the same pixels."""
        centre = (first.mean(2, keepdim=True) + second.mean(2, keepdim=True)) / 2
        first, second = first - centre, second - centre  # changes nothing, as weights sum to one, but conditions the sums
        return cls(first @ first.mT, second @ second.mT, first @ second.mT)


@dataclass(frozen=True)
class WeightField:
    """The programme of one photo.

    Attributes:
        unary: for each representation the Gram matrix of (x_k − x), (R, H, W, K, K), so that w'Gw = ‖x − Σ w_k x_k‖².
        right, down: the edges between columns, (H, W − 1, …), and between rows, (H − 1, W, …).
        alpha, beta: weights of the photo's and the smoothness term.
        spread: λ, what it costs to trust few representations.
    """

    unary: Tensor
    right: Edges
    down: Edges
    alpha: float = 1.0
    beta: float = 0.5
    spread: float = 0.0

    @classmethod
    def of(cls, differences: list[Tensor], sketches: Tensor, overlap: int, **weights: float) -> WeightField:
        """
        Args:
            differences: for each representation x_k − x of every candidate, (H, W, K, P).
            sketches: the candidates' sketch patches (H, W, K, C, p, p).
            overlap: pixels that neighbouring patches share, below p.
        """
        unary = torch.stack([d.double() @ d.double().mT for d in differences])
        y = sketches.double()
        right = Edges.of(y[:, :-1, ..., -overlap:].flatten(3), y[:, 1:, ..., :overlap].flatten(3))
        down = Edges.of(y[:-1, ..., -overlap:, :].flatten(3), y[1:, ..., :overlap, :].flatten(3))
        return cls(unary, right, down, **weights)

    def trusting_all(self) -> Tensor:
        """Equal μ, (R, H, W)."""
        return self.unary.new_full(self.unary.shape[:3], 1 / len(self.unary))

    def energy(self, w: Tensor, mu: Tensor) -> float:
        """E of weights (H, W, K) and trust (R, H, W)."""
        total = self.alpha * (mu * self.unary_energy(w)).sum()
        for edges, first, second in ((self.right, w[:, :-1], w[:, 1:]), (self.down, w[:-1], w[1:])):
            total = total + self.beta * (_form(edges.here, first, first) + _form(edges.there, second, second)).sum()
            total = total - self.beta * 2 * _form(edges.across, first, second).sum()
        return float(total + self.spread / 2 * mu.square().sum())

    def unary_energy(self, w: Tensor) -> Tensor:
        """‖x_i^r − X_i^r w_i‖², (R, H, W)."""
        return _form(self.unary, w, w)

    def quadratic(self, mu: Tensor) -> Tensor:
        """Q_i (H, W, K, K) of what E is in w_i alone: w'Q_i w − 2 c_i'w and a constant."""
        q = self.alpha * (mu[..., None, None] * self.unary).sum(0)
        q[:, :-1] += self.beta * self.right.here
        q[:, 1:] += self.beta * self.right.there
        q[:-1] += self.beta * self.down.here
        q[1:] += self.beta * self.down.there
        return q

    def pull(self, w: Tensor) -> Tensor:
        """c_i (H, W, K), where the neighbours' present weights draw."""
        c = torch.zeros_like(w)
        c[:, :-1] += _times(self.right.across, w[:, 1:])
        c[:, 1:] += _times(self.right.across.mT, w[:, :-1])
        c[:-1] += _times(self.down.across, w[1:])
        c[1:] += _times(self.down.across.mT, w[:-1])
        return self.beta * c


@dataclass(frozen=True)
class Solution:
    """Weights (H, W, K), trust in each representation (R, H, W), and E after the start and after every sweep."""

    weights: Tensor
    trust: Tensor
    energies: tuple[float, ...]


def solve(field: WeightField, sweeps: int = 30, outer: int = 1, tolerance: float = 1e-5, moves: int = 8) -> Solution:
    """Block coordinate descent, the two colours of a checkerboard in turn; E never rises.

    The start minimises the photo's term alone (locally linear embedding's weights). A block's simplex-constrained programme
    is descended by `moves` exact pair exchanges a visit.

    Args:
        sweeps: over all nodes, at most, for each μ.
        outer: times that μ is chosen anew, with more than one representation.
        tolerance: a sweep that lowers E by a smaller share is the last.
    """
    mu = field.trusting_all()
    w = field.unary.new_full(field.unary.shape[1:4], 1 / field.unary.shape[-1])
    alone = field.alpha * (mu[..., None, None] * field.unary).sum(0)
    w = descend(alone.flatten(0, 1), torch.zeros_like(w).flatten(0, 1), w.flatten(0, 1), 4 * moves).view_as(w)
    energies = [field.energy(w, mu)]
    for round_ in range(outer if len(mu) > 1 else 1):
        if round_:
            mu = onto_simplex(-field.alpha / field.spread * field.unary_energy(w).movedim(0, -1)).movedim(-1, 0)
        q = field.quadratic(mu)
        for _ in range(sweeps):
            w = _sweep(field, q, w, moves)
            energies.append(field.energy(w, mu))
            if energies[-2] - energies[-1] <= tolerance * energies[-2]:
                break
    return Solution(w, mu, tuple(energies))


def _sweep(field: WeightField, q: Tensor, w: Tensor, moves: int) -> Tensor:
    rows, columns = (torch.arange(n, device=w.device) for n in w.shape[:2])
    white = (rows[:, None] + columns) % 2 == 0
    w = w.clone()
    for colour in (white, ~white):
        w[colour] = descend(q[colour], field.pull(w)[colour], w[colour], moves)
    return w


def descend(q: Tensor, c: Tensor, w: Tensor, moves: int) -> Tensor:
    """Lower w'Qw − 2c'w over the simplex from a feasible w, each time by the exchange between two weights that gains most.

    Args:
        q: (N, K, K) symmetric, positive semidefinite.
        c: (N, K).
        w: (N, K), on the simplex, as is the result.
    """
    k = w.shape[-1]
    diagonal = q.diagonal(dim1=1, dim2=2)
    curvature = (diagonal[:, :, None] + diagonal[:, None] - 2 * q).clamp(min=torch.finfo(q.dtype).tiny)
    gradient = _times(q, w) - c
    for _ in range(moves):
        slope = gradient[:, :, None] - gradient[:, None]  # of taking from the first and giving to the second
        amount = (slope / curvature).clamp(min=0).minimum(w[:, :, None])
        gain = amount * (2 * slope - amount * curvature)
        best = gain.flatten(1).argmax(1, keepdim=True)
        t = amount.flatten(1).gather(1, best)
        giver, taker = best // k, best % k
        w = w.scatter_add(1, giver, -t).scatter_add(1, taker, t).clamp(min=0)
        both = torch.cat([giver, taker], 1)[..., None].expand(-1, -1, k)
        lost, gained = q.gather(1, both).unbind(1)
        gradient = gradient + t * (gained - lost)
    return w


def onto_simplex(v: Tensor) -> Tensor:
    """The nearest point (…, R) with non-negative entries that sum to one (Held, Wolfe & Crowder 1974)."""
    ordered = v.sort(dim=-1, descending=True).values
    count = torch.arange(1, v.shape[-1] + 1, device=v.device)
    excess = (ordered.cumsum(-1) - 1) / count
    kept = (ordered > excess).sum(-1, keepdim=True)
    return (v - excess.gather(-1, kept - 1)).clamp(min=0)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _form(matrix: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return (left * _times(matrix, right)).sum(-1)
