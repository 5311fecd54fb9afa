"""Photos → sketches by a trained `MostNet`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from PIL import Image

from oneshot_sketch.errors import InputError, loading
from oneshot_sketch.images import ImageLike, fitted_size, to_pil, to_tensor
from oneshot_sketch.letterbox import letterbox
from oneshot_sketch.models.most_net import STRIDE, MostNet
from oneshot_sketch.pipelines.photos import open_photos


class MostNetPipeline(DiffusionPipeline):
    """Draws with the photo encoder, the memory and the decoder; the sketch encoder never runs."""

    model_cpu_offload_seq = "net"

    def __init__(self, net: MostNet) -> None:
        super().__init__()
        self.register_modules(net=net)

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> MostNetPipeline:
        """Load a folder or a Hub id, with diffusers' own keyword arguments.

        Raises:
            InputError: not found, damaged, or something else.
        """
        with loading(pretrained_model_name_or_path, "a MOST-Net"):
            return super().from_pretrained(str(pretrained_model_name_or_path), **{"use_safetensors": True} | kwargs)

    @torch.no_grad()
    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike],
        output_type: Literal["pil", "np"] = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[list[Image.Image] | np.ndarray]:
        """Draw each photo by itself: letterboxed on the network's canvas, drawn, cut out, resized to the photo's size.

        Args:
            image: one photo or several of any sizes, as pictures, arrays or tensors.
            output_type: "pil" pictures in RGB, or "np", (B, H, W, 3) float32 in [0, 1] of photos of one size.
            return_dict: whether to return `.images` or a tuple.

        Raises:
            InputError: no photo, or another output type.
        """
        if output_type not in ("pil", "np"):
            raise InputError(f"output_type is {output_type!r}; choose pil or np.")
        drawn: Any = [self._draw(photo) for photo in open_photos(image)]
        if output_type == "np":
            drawn = np.stack([np.asarray(sketch, np.float32) / 255 for sketch in drawn])
        return ImagePipelineOutput(images=drawn) if return_dict else (drawn,)

    def _draw(self, photo: Image.Image) -> Image.Image:
        canvas: tuple[int, int] | None = self.net.config.canvas
        size = (canvas[1], canvas[0]) if canvas else fitted_size(photo.size, (photo.width * photo.height) ** 0.5, STRIDE)
        fitted, box = letterbox(photo, size)
        sketch = to_pil(self.net(to_tensor(fitted).to(self.net.device, self.net.dtype)))[0].crop(box)
        return sketch.resize(photo.size, Image.Resampling.LANCZOS)
