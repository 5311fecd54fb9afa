"""How far a predicted noise (or velocity) is from the true one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Weighting = Literal["uniform", "epsilon", "sample"]


def reconstruction_loss(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """L_rec = mean over draws of w ‖target − prediction‖² / n (Eq. 3, as a mean of squares).

    Args:
        prediction, target: (B, C, h, w) float; the network's output and what it should have been.
        weight: (B,) float, one factor a draw (see `draw_weight`); ones if None.

    Returns:
        A scalar.
    """
    error = (prediction - target).pow(2).mean((1, 2, 3))
    return (error if weight is None else weight * error).mean()


def draw_weight(alpha_bar: Tensor, prediction_type: str, weighting: Weighting) -> Tensor:
    """Factors that turn the squared error of a network's own output into that of another quantity.

    With v = √ᾱ ε − √(1−ᾱ) z, an error δ in v is √ᾱ δ in ε and √(1−ᾱ) δ in z; an error δ in ε is √((1−ᾱ)/ᾱ) δ in z.

    Args:
        alpha_bar: (B,) float in (0, 1), ᾱ at the drawn timesteps.
        prediction_type: "epsilon" or "v_prediction".
        weighting: "uniform" leaves the network's output as it is, "epsilon" is the paper's, "sample" weighs z.
    """
    if weighting == "uniform":
        return alpha_bar.new_ones(alpha_bar.shape)
    if prediction_type == "v_prediction":
        return alpha_bar if weighting == "epsilon" else 1 - alpha_bar
    return alpha_bar.new_ones(alpha_bar.shape) if weighting == "epsilon" else (1 - alpha_bar) / alpha_bar
