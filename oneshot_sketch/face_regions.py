"""Where hair and face are in a portrait, and its eyes, nose and mouth: what StyleSketch's part losses look at.

A face parser knows best; where there is none, or it misses a part, five landmarks stand in; where these are not to be had
either, the places every face has in FFHQ's crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_pil

Parser = Callable[[Tensor], Tensor]
"""(B, 3, 512, 512) in [-1, 1] → scores (B, 19, 512, 512) or labels (B, 512, 512) of CelebAMask-HQ's classes in the order of
zllrunning's BiSeNet: 0 background, 4 and 5 eyes, 10 nose, 12 and 13 lips, 14 neck, 16 cloth, 17 hair, 18 hat."""
Landmarks = Callable[[Image.Image], ArrayLike]
"""A picture → (5, 2) x and y in pixels: the eye on its left, the other eye, nose, the mouth's left and right corner."""

CLASSES = 19
PARSED_SIDE = 512
HAIR_CLASSES = (0, 14, 16, 17, 18)
PART_CLASSES = ((5,), (4,), (10,), (12, 13))  # an eye's class is named after the sitter's own side
# In parts of the side of FFHQ's crop. Eyes as in StyleSketch's training script, nose and mouth the medians of YuNet's points on
# 578 FFHQ thumbnails.
FFHQ_CENTRES = torch.tensor([[382.0, 485.0], [639.0, 485.0], [512.0, 640.0], [512.0, 753.0]]) / 1024


@dataclass(frozen=True)
class FaceRegions:
    """Of a batch of portraits.

    Attributes:
        hair: (B, 1, H, W) float, 1 for hair, hat, neck, clothes and background, 0 for the face.
        centres: (B, 4, 2) float, x and y in pixels of the eye on the picture's left, the other eye, nose and mouth; finite.
    """

    hair: Tensor
    centres: Tensor

    @property
    def face(self) -> Tensor:
        """(B, 1, H, W), the complement of `hair`."""
        return 1 - self.hair

    def __getitem__(self, rows: Tensor) -> FaceRegions:
        return FaceRegions(self.hair[rows], self.centres[rows])


class RegionFinder:
    """Portraits in FFHQ's crop → `FaceRegions`.

    Args:
        parser: a 19-class face parser, if there is one.
        landmarks: what finds five points, if there is any; a face it does not find counts as not found.
    """

    def __init__(self, parser: Parser | None = None, landmarks: Landmarks | None = None) -> None:
        self.parser, self.landmarks = parser, landmarks

    @torch.no_grad()
    def __call__(self, images: Tensor) -> FaceRegions:
        """
        Args:
            images: (B, 3, H, W) in [-1, 1], square.

        Raises:
            InputError: a parser that returns something else than 19 classes.
        """
        side = images.shape[-1]
        points = torch.stack([self._points(image) for image in images]).to(images.device)
        centres = torch.cat([points[:, :3], points[:, 3:].mean(1, keepdim=True)], 1)
        if self.parser is None:
            return FaceRegions(_outside_of_face(centres, side), centres)
        labels = self._labels(images)
        seen = torch.stack([_centre(torch.isin(labels, labels.new_tensor(part))) for part in PART_CLASSES], 1)
        centres = torch.where(seen.isfinite(), seen, centres)
        hair = torch.isin(labels, labels.new_tensor(HAIR_CLASSES))[:, None].float()
        reach = round(9 * side / 1024)  # nine dilations by 3×3 at 1024 pixels
        return FaceRegions(F.max_pool2d(hair, 2 * reach + 1, 1, reach), centres)

    def _points(self, image: Tensor) -> Tensor:
        """(5, 2) of one picture (3, H, W)."""
        side = image.shape[-1]
        fixed = FFHQ_CENTRES[[0, 1, 2, 3, 3]] * side - 0.5
        if self.landmarks is None:
            return fixed
        try:
            points = torch.from_numpy(np.asarray(self.landmarks(to_pil(image[None])[0]), np.float32))
        except InputError:
            return fixed
        return points if points.shape == (5, 2) and points.isfinite().all() else fixed

    def _labels(self, images: Tensor) -> Tensor:
        """(B, H, W) int64."""
        assert self.parser is not None
        seen = F.interpolate(images, (PARSED_SIDE, PARSED_SIDE), mode="bilinear", antialias=True, align_corners=False)
        parsed = self.parser(seen)
        if parsed.ndim == 4 and parsed.shape[1] == CLASSES:
            parsed = parsed.argmax(1)
        if parsed.shape != (len(images), PARSED_SIDE, PARSED_SIDE) or parsed.max() >= CLASSES:
            raise InputError(
                f"the face parser returned {tuple(parsed.shape)}; give one that returns {CLASSES} classes for "
                f"{PARSED_SIDE}×{PARSED_SIDE} pixels, such as BiSeNet trained on CelebAMask-HQ."
            )
        return F.interpolate(parsed[:, None].float(), images.shape[-2:], mode="nearest")[:, 0].long()


def masked(images: Tensor, keep: Tensor) -> Tensor:
    """Pictures in [0, 1] with paper (1) where `keep` is 0."""
    return images * keep + (1 - keep)


def _centre(mask: Tensor) -> Tensor:
    """(B, H, W) bool → (B, 2), the mean x and y; NaN where a mask is empty."""
    mask = mask.float()
    weight = mask.sum((1, 2))
    across, down = (torch.arange(length, device=mask.device, dtype=mask.dtype) for length in (mask.shape[2], mask.shape[1]))
    return torch.stack([(mask.sum(1) * across).sum(1), (mask.sum(2) * down).sum(1)], 1) / weight[:, None]


def _outside_of_face(centres: Tensor, side: int) -> Tensor:
    """1 outside of an ellipse from above the brows to below the chin, (B, 1, side, side)."""
    eyes = centres[:, :2].mean(1)
    across, down = centres[:, 1] - centres[:, 0], centres[:, 3] - eyes
    place = torch.arange(side, device=centres.device, dtype=centres.dtype)
    pixels = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)  # (side, side, 2)
    apart = pixels - (eyes + down / 2)[:, None, None]
    u, v = ((apart * axis[:, None, None]).sum(-1) / axis.square().sum(-1).clamp(min=1)[:, None, None] for axis in (across, down))
    return (u.square() + v.square() > 1).float()[:, None]
