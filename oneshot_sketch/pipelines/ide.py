"""IDE's two stages: photo → coarse sketch by patches → fine sketch by a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils.outputs import BaseOutput
from PIL import Image

from oneshot_sketch.errors import InputError, loading
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

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> IDEPipeline:
        """Load a folder or a Hub id, with diffusers' own keyword arguments.

        Raises:
            InputError: not found, damaged, or something else.
        """
        with loading(pretrained_model_name_or_path, "an IDE pipeline"):
            return super().from_pretrained(str(pretrained_model_name_or_path), **{"use_safetensors": True} | kwargs)

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
        coarse = [self._coarse(photo) for photo in self.progress_bar(photos)]  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue, reportArgumentType]
        return IDEPipelineOutput(images=coarse if coarse_only or self.enhancer is None else self.mend(coarse), coarse=coarse)

    @torch.no_grad()
    def mend(self, coarse: Sequence[Image.Image]) -> list[Image.Image]:
        """Stage two alone, on sketches as stage one draws them.

        Raises:
            InputError: there is no second stage.
        """
        if self.enhancer is None:
            raise InputError("this pipeline has no second stage; give it an MLANet, or ask for coarse sketches only.")
        fine = []
        for sketch in coarse:
            size = tuple(round(side * self.config["coarse_scale"]) for side in sketch.size)
            small = sketch if size == sketch.size else sketch.resize(size, Image.Resampling.LANCZOS)
            drawn = self.enhancer((to_tensor(small) / 2 + 0.5).to(self.enhancer.device, self.enhancer.dtype))
            fine += to_pil(drawn.float().mean(1, keepdim=True) * 2 - 1)
        return fine

    def _coarse(self, photo: Image.Image) -> Image.Image:
        width, height = self.field.size
        if abs(photo.width / photo.height * height / width - 1) > MAX_ASPECT_GAP:
            raise InputError(
                f"the photo is {photo.width}×{photo.height} pixels, but the training photos are {width}×{height}; "
                "crop it to their frame, eyes and mouth where theirs are."
            )
        framed = photo if photo.size == (width, height) else photo.resize((width, height), Image.Resampling.LANCZOS)
        return to_pil(self.field(to_tensor(framed)))[0]
