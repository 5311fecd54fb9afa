"""IDE's two stages: photo → coarse sketch by patches → fine sketch by a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import ImageLike, to_pil, to_rgb, to_tensor
from oneshot_sketch.models.ide import MLANet
from oneshot_sketch.models.patch_field import PatchField

MAX_ASPECT_GAP = 0.06


@dataclass
class IDEPipelineOutput(BaseOutput):
    """Sketches, and the coarse ones they were made from; the same where there is no second stage."""

    images: list[Image.Image]
    coarse: list[Image.Image]


class IDEPipeline(DiffusionPipeline):
    """Draws with a `PatchField`, and mends what it drew with an `MLANet` if there is one.

    Args:
        field: stage one; usable alone, and from a single pair: `IDEPipeline(PatchField.fit([photo], [sketch]))`.
        enhancer: stage two.
        coarse_scale: what coarse sketches are resized by before stage two doubles them, as in its training.
    """

    model_cpu_offload_seq = "field->enhancer"
    _optional_components = ["enhancer"]  # noqa: RUF012

    def __init__(self, field: PatchField, enhancer: MLANet | None = None, coarse_scale: float = 1.0) -> None:
        super().__init__()
        self.register_modules(field=field, enhancer=enhancer)
        self.register_to_config(coarse_scale=coarse_scale)

    @torch.no_grad()
    def __call__(self, image: ImageLike | Sequence[ImageLike], coarse_only: bool = False) -> IDEPipelineOutput:
        """
        Args:
            image: one photo or several, each framed as the training photos are; any size of their shape.
            coarse_only: stage one alone.

        Returns:
            Grey sketches as RGB: of stage one's size, or, after stage two, of twice that times `coarse_scale`.

        Raises:
            InputError: no photo, or one of another shape.
        """
        photos = [to_rgb(one) for one in ([image] if isinstance(image, ImageLike) else image)]
        if not photos:
            raise InputError("there is no photo to draw; give at least one.")
        drawn = [self._draw(photo, coarse_only) for photo in self.progress_bar(photos)]
        return IDEPipelineOutput(images=[fine for fine, _ in drawn], coarse=[coarse for _, coarse in drawn])

    def _draw(self, photo: Image.Image, coarse_only: bool) -> tuple[Image.Image, Image.Image]:
        width, height = self.field.size
        if abs(photo.width / photo.height * height / width - 1) > MAX_ASPECT_GAP:
            raise InputError(
                f"the photo is {photo.width}×{photo.height} pixels, but the training photos are {width}×{height}; "
                "crop it to their frame, eyes and mouth where theirs are."
            )
        small = photo if photo.size == (width, height) else photo.resize((width, height), Image.Resampling.LANCZOS)
        coarse = to_pil(self.field(to_tensor(small)))[0]
        if coarse_only or self.enhancer is None:
            return coarse, coarse
        scale = self.config["coarse_scale"]
        size = round(width * scale), round(height * scale)
        start = coarse if size == coarse.size else coarse.resize(size, Image.Resampling.LANCZOS)
        fine = self.enhancer((to_tensor(start) / 2 + 0.5).to(self.enhancer.device, self.enhancer.dtype))
        return to_pil(fine.float().mean(1, keepdim=True) * 2 - 1)[0], coarse
