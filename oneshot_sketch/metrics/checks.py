"""What every metric refuses: other things than pictures in the house's convention."""

from __future__ import annotations

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError

# Resizing and colour conversion overshoot by rounding; pixels left in [0, 255] overshoot by far more.
OVERSHOOT = 1e-3


def check_images(images: Tensor, least: int = 1) -> None:
    """Refuse what is not (B, 3, H, W) float in [-1, 1] with at least one picture and `least` pixels a side."""
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise InputError(f"a metric reads a batch of pictures (B, 3, H, W), not {tuple(images.shape)}; stack RGB pictures.")
    if images.dtype not in (torch.float32, torch.float64):
        raise InputError(f"a metric reads float32 pictures in [-1, 1], not {images.dtype}; convert them first.")
    if min(images.shape[-2:]) < least:
        height, width = images.shape[-2:]
        raise InputError(f"this metric needs pictures of at least {least} pixels a side, not {width}×{height}; enlarge them.")
    if not images.isfinite().all():
        raise InputError("a picture holds NaN or infinite values; find out which drawing failed.")
    if images.abs().max() > 1 + OVERSHOOT:
        low, high = images.aminmax()
        raise InputError(f"pictures must lie in [-1, 1], not in [{low:.3g}, {high:.3g}]; scale them first.")


def check_comparable(a: Tensor, b: Tensor, least: int = 1) -> None:
    """Refuse two batches that are not pictures of one shape."""
    if a.shape != b.shape:
        raise InputError(f"a metric compares two (B, 3, H, W) batches of one shape, not {tuple(a.shape)} and {tuple(b.shape)}.")
    for images in (a, b):
        check_images(images, least)


def check_features(features: Tensor, least: int = 1) -> None:
    """Refuse what is not (N, d) finite float with at least `least` rows."""
    if features.ndim != 2 or not features.is_floating_point():
        raise InputError(f"features must be (N, d) float, one row a picture, not {tuple(features.shape)} {features.dtype}.")
    if len(features) < least:
        raise InputError(f"this metric needs at least {least} pictures on each side, not {len(features)}; judge more.")
    if not features.isfinite().all():
        raise InputError("features hold NaN or infinite values; check the extractor and its weights.")


def check_two_sets(a: Tensor, b: Tensor, least: int = 1) -> None:
    """Refuse two sets of features that do not come from one extractor."""
    for features in (a, b):
        check_features(features, least)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"features of two widths, {a.shape[1]} and {b.shape[1]}, cannot be compared; use one extractor.")
