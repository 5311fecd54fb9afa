"""The two-scale guidance of InstructPix2Pix."""

from __future__ import annotations

from torch import Tensor


def two_scale_guidance(full: Tensor, photo: Tensor, nothing: Tensor, text_scale: float, image_scale: float) -> Tensor:
    """e_g = e_∅ + s_I (e_photo − e_∅) + s_T (e_full − e_photo) (Brooks et al. 2023, eq. 3).

    Args:
        full: (B, C, h, w), the network's output given instruction and photo.
        photo: the same given the empty prompt and the photo.
        nothing: the same given the empty prompt and a zero photo.
    """
    return nothing + image_scale * (photo - nothing) + text_scale * (full - photo)
