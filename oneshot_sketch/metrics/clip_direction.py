"""Does drawing change a photo, in CLIP's eyes, the way the artist changed it?"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics.accumulator import PerImage, needed
from oneshot_sketch.metrics.checks import check_features, check_images
from oneshot_sketch.models.clip import ClipTowers


def directional_similarity(photos: Tensor, sketches: Tensor, direction: Tensor) -> Tensor:
    """cos(CLIP_I(sketch) − CLIP_I(photo), Δ) (Gal et al. 2022), photo by photo.

    Args:
        photos, sketches: (B, p) float, projected but un-normalised image features.
        direction: Δ, (p,) float for all or (B, p) float one each, of any length: the change of a pair
            (`losses.edit_direction`), or of two captions' features.

    Returns:
        (B,) in [-1, 1]; 0 where nothing changed.

    Raises:
        InputError: features that are not finite or do not match.
    """
    check_features(photos)
    if sketches.shape != photos.shape or direction.shape not in (photos.shape, photos.shape[1:]):
        raise InputError(
            f"photos {tuple(photos.shape)}, sketches {tuple(sketches.shape)} and direction {tuple(direction.shape)} "
            "do not match; take all three from one CLIP."
        )
    check_features(sketches)
    check_features(direction.view(-1, direction.shape[-1]))
    return F.cosine_similarity(sketches - photos, direction.expand_as(photos), dim=1)


class DirectionalSimilarity(PerImage):
    """Mean directional similarity of drawing.

    Args:
        clip: the towers.
        clip_name: what reports call them.
        direction: (p,) float to measure along; None measures each drawing along the artist's own change of that photo.
        along: what reports call a given direction: "the learned pair".
    """

    label = "CLIP directional similarity"
    higher_is_better = True

    def __init__(
        self, clip: ClipTowers, clip_name: str, direction: Tensor | None = None, along: str = "a given direction"
    ) -> None:
        super().__init__()
        self.clip, self.direction = clip, direction
        self.settings = f"{clip_name}, along {'the artist' if direction is None else along}"

    def judge(self, sketches: Tensor, truths: Tensor | None, photos: Tensor | None) -> Tensor:
        before, after = self._encode(needed(photos, "photos")), self._encode(sketches)
        if self.direction is None:
            return directional_similarity(before, after, self._encode(needed(truths, "truths")) - before)
        return directional_similarity(before, after, self.direction.to(after))

    def _encode(self, images: Tensor) -> Tensor:
        check_images(images)
        return self.clip.encode_image(images).float()
