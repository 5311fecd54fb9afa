"""Fréchet distance of two sets of pictures, which is FID where the features are Inception's."""

from __future__ import annotations

import torch
from torch import Tensor

from oneshot_sketch.metrics.checks import check_two_sets
from oneshot_sketch.metrics.features import TwoSets


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μ_a − μ_b‖² + Tr(Σ_a + Σ_b − 2(Σ_a Σ_b)^½) (Heusel et al. 2017, eq. 6), unbiased covariances.

    With centred features A, B scaled so that Σ_a = AᵀA and Σ_b = BᵀB, Tr (Σ_a Σ_b)^½ is the sum of the singular
    values of A Bᵀ: no matrix root is taken, and sets smaller than d need no correction. The expectation of the
    distance falls with the number of pictures, so only equal numbers compare.

    Args:
        a: (N, d) float, at least two rows.
        b: (M, d) float, at least two rows.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        InputError: one picture on a side, features that are not finite, or of two widths.
    """
    check_two_sets(a, b, least=2)
    a, b = a.double(), b.double()
    roots = [_covariance_root(x) for x in (a, b)]
    shift = (a.mean(0) - b.mean(0)).square().sum()
    spread = sum(root.square().sum() for root in roots)
    shared = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return max(0.0, (shift + spread - 2 * shared).item())


class FrechetDistance(TwoSets):
    """FID over `InceptionFeatures`; over any other extractor reports call it a Fréchet distance that is not Inception's."""

    proper_label = "FID"
    other_label = "Fréchet distance"

    def distance(self, drawn: Tensor, true: Tensor) -> float:
        return frechet_distance(drawn, true)


def _covariance_root(x: Tensor) -> Tensor:
    """(N, d) → R of at most d rows with RᵀR = Σ."""
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R
