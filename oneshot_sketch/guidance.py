"""What is done to the network's output before the scheduler sees it: two-scale guidance, and the sketch prior's correction."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def two_scale_guidance(full: Tensor, photo: Tensor, nothing: Tensor, text_scale: float, image_scale: float) -> Tensor:
    """e_g = e_∅ + s_I (e_photo − e_∅) + s_T (e_full − e_photo) (Brooks et al. 2023, eq. 3).

    Args:
        full: (B, C, h, w), the network's output given instruction and photo.
        photo: the same given the empty prompt and the photo.
        nothing: the same given the empty prompt and a zero photo.
    """
    return nothing + image_scale * (photo - nothing) + text_scale * (full - photo)


def branch_weights(text_scale: float, image_scale: float) -> tuple[float, float, float]:
    """What `two_scale_guidance` multiplies full, photo and nothing with: s_T, s_I − s_T and 1 − s_I."""
    return text_scale, image_scale - text_scale, 1 - image_scale


def prior_correction(
    output: Tensor,
    noisy: Tensor,
    prior: Tensor,
    weight: Tensor,
    alpha: float,
    sigma: float,
    prediction_type: Literal["epsilon", "v_prediction"],
) -> Tensor:
    """The output whose clean latent is drawn towards the prior's, in closed form.

    With x̂₀ the clean latent that the output stands for, p the prior's, and weight w = s·m (scale times trust),

        x̂₀' = argmin_x ‖x − x̂₀‖² / r² + ‖√w (x − p)‖² = (x̂₀ + w r² p) / (1 + w r²),   r² = 1 − ᾱ_t,

    the mean of x₀ when x_t says N(x̂₀, r²) and the prior sketch N(p, 1/w). r² is what x_t leaves open of data of unit
    variance, as scaled latents are (ΠGDM, Song et al. 2023, whose gradient through the network is left out here, as in
    DiffPIR, Zhu et al. 2023). So the prior decides while x̂₀ is a guess, and at the end the diffusion corrects it; with a
    constant r, the share w / (1 + w) of the prior would stay printed on the finished sketch.

    Put back into x_t = √ᾱ x₀ + √(1 − ᾱ) ε and v = √ᾱ ε − √(1 − ᾱ) x₀, all divisions by ᾱ and 1 − ᾱ cancel, so that pure
    noise (ᾱ = 0) needs no special case, and a weight of 0 returns the output to the bit:

        ε' = (ε + w √(1 − ᾱ) (x_t − √ᾱ p)) / (1 + w (1 − ᾱ))
        v' = (v + w √(1 − ᾱ) (√ᾱ x_t − p)) / (1 + w (1 − ᾱ))

    Args:
        output: (B, C, h, w), ε or v after guidance.
        noisy: (B, C, h, w), x_t in the variance-preserving scale, as the network saw it.
        prior: (B, C, h, w), the scaled latent of the prior sketch.
        weight: (B, 1, h, w), not negative.
        alpha, sigma: √ᾱ_t and √(1 − ᾱ_t).
    """
    away = noisy - alpha * prior if prediction_type == "epsilon" else alpha * noisy - prior
    return (output + weight * sigma * away) / (1 + weight * sigma**2)
