"""Whether a photo's and its sketch's slots mean the same item of a memory."""

from __future__ import annotations

from torch import Tensor


def memory_refinement_loss(photo: Tensor, sketch: Tensor, temperature: float | None) -> Tensor:
    """L_MR = normalised L1 of two similarity matrices (MOST-Net, Eqs. 13–14).

    The paper calls the matrices permutations; one-hot rows have no gradient, so rows are softmaxes as in the read, or cosines.

    Args:
        photo: (…, N, K) float, cosines of the photo's slots to the keys.
        sketch: (…, N, K) float, of the sketch's slots at the same places to the values.
        temperature: τ of the softmax over items: ½ Σ_j |·| averaged over slots, in [0, 1]. None compares the cosines: the mean
            over slots and items, in [0, 2].

    Returns:
        A scalar.
    """
    if temperature is None:
        return (photo - sketch).abs().mean()
    return ((photo / temperature).softmax(-1) - (sketch / temperature).softmax(-1)).abs().sum(-1).mean() / 2
