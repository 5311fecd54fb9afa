"""Photos or W+ codes → sketches in the hand a sketch generator learned; sketch editing; a face from a sketch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils.outputs import BaseOutput
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from oneshot_sketch.errors import InputError, loading
from oneshot_sketch.images import ImageLike, grey, square, to_pil, to_rgb, to_tensor
from oneshot_sketch.models.inversion import Invert, invert
from oneshot_sketch.models.latent_directions import moved
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator, stylegan_fingerprint

OutputType = Literal["pil", "np", "pt"]


@dataclass
class StyleSketchOutput(BaseOutput):
    """Sketches, and what they were drawn from.

    Attributes:
        images: RGB `PIL.Image` list; or an array (B, H, W, 1), or a tensor (B, 1, H, W), in [0, 1].
        faces: what the StyleGAN makes of the latents, of the same type with three channels.
        latents: (B, num_ws, w_dim) float32, edits included.
        inversion_error: (B,) float32, how far each photo is from its unedited face, as the inversion reports it; None if latents
            were given.
    """

    images: Any
    faces: Any
    latents: Tensor
    inversion_error: Tensor | None = None


class StyleSketchPipeline(DiffusionPipeline):
    """A StyleGAN2 and a sketch generator that was trained on its features. Both are frozen in place.

    Args:
        stylegan: of faces, or of whatever the sketches show.
        sketch_generator: trained on that very network; an official one does not say on which.
    """

    model_cpu_offload_seq = "stylegan->sketch_generator"
    stylegan: StyleGAN2Generator
    sketch_generator: StyleSketchGenerator

    def __init__(self, stylegan: StyleGAN2Generator, sketch_generator: StyleSketchGenerator) -> None:
        super().__init__()
        theirs, ours = stylegan.config, sketch_generator.config
        if any(theirs[key] != ours[key] for key in ("resolution", "channel_base", "channel_max")):
            raise InputError(
                f"the sketch generator reads a StyleGAN of {ours['resolution']} pixels (channels {ours['channel_base']}, "
                f"{ours['channel_max']}), not of {theirs['resolution']} ({theirs['channel_base']}, {theirs['channel_max']}); "
                "load the two that belong together."
            )
        if ours["stylegan"] not in (None, stylegan_fingerprint(stylegan)):
            raise InputError("the sketch generator was trained on another StyleGAN's features; load that one, or train again.")
        for network in (stylegan, sketch_generator):
            network.eval().requires_grad_(False)
        self.register_modules(stylegan=stylegan, sketch_generator=sketch_generator)

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> StyleSketchPipeline:
        """Load a folder that `save_pretrained` wrote, or a Hub id, with diffusers' own keyword arguments.

        Raises:
            InputError: not found, damaged, or something else.
        """
        kwargs.setdefault("use_safetensors", True)
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        with loading(pretrained_model_name_or_path, "a StyleSketch pipeline"):
            return super().from_pretrained(str(pretrained_model_name_or_path), **kwargs)

    @torch.no_grad()
    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike] | None = None,
        *,
        latents: Tensor | None = None,
        invert: Invert = invert,
        edit: Tensor | None = None,
        edit_scale: float | Sequence[float] = 1.0,
        output_type: OutputType = "pil",
        return_dict: bool = True,
    ) -> StyleSketchOutput | tuple[Any, Any]:
        """Sketch photos, or W+ codes, changed along a direction if one is given.

        Args:
            image: one photo or several, in the StyleGAN's crop; the largest centred square is taken.
            latents: (B, num_ws, w_dim) instead of photos.
            invert: finds photos' latents; the default optimises from the mean face, without an encoder.
            edit: (num_ws, w_dim) or (w_dim,), see `models.latent_directions`; the face is changed first and then drawn.
            edit_scale: how far along it; one number, or one for each face.
            output_type: "pil", "np" or "pt".

        Returns:
            `StyleSketchOutput`; with `return_dict=False`, its images and inversion error.

        Raises:
            InputError: neither or both of photos and latents, or an argument that does not fit.
        """
        if (image is None) == (latents is None):
            raise InputError("give photos as image=, or their W+ codes as latents=, and not both.")
        error = None
        if image is not None:
            photos = to_tensor([square(photo, self.stylegan.config["resolution"]) for photo in _listed(image)])
            with torch.enable_grad():  # an inversion may optimise
                inversion = invert(self.stylegan, photos.to(self.device))
            latents, error = inversion.ws, inversion.error
        ws = self._checked(cast(Tensor, latents))
        if edit is not None:
            ws = moved(ws, edit, torch.tensor(edit_scale, dtype=torch.float32))
        faces, sketches = self._drawn(ws)
        images, seen = _output(sketches * 2 - 1, output_type), _output(faces, output_type)
        if not return_dict:
            return images, error
        return StyleSketchOutput(images=images, faces=seen, latents=ws, inversion_error=error)

    def draw(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """(B, num_ws, w_dim) → face (B, 3, H, W), about [-1, 1], and sketch (B, 1, H, W) in (0, 1); differentiable, float32."""
        made = self.stylegan.synthesize(ws.to(self.device, self.stylegan.dtype), noise_mode="const")
        return made.image.float(), self.sketch_generator(made.features, made.image).float()

    def face_from_sketch(
        self,
        sketch: ImageLike | Sequence[ImageLike],
        *,
        num_inference_steps: int = 300,
        learning_rate: float = 0.05,
        norm_weight: float = 0.01,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
        perceptual_weight: float = 1.0,
        latents: Tensor | None = None,
        output_type: OutputType = "pil",
    ) -> StyleSketchOutput:
        """The face whose sketch this would be: w+ is optimised until the sketch generator draws what was given.

        Minimises, for each sketch alone, mean |S(w) − s| + λ_p d(S(w), s) + λ_n mean ‖w − w̄‖² by Adam with a cosine schedule.

        Args:
            sketch: one or several, in the StyleGAN's crop, ink dark on light paper.
            norm_weight: λ_n; keeps the face among those the StyleGAN knows.
            perceptual: d, of two (1, 3, H, W) in [-1, 1].
            latents: (B, num_ws, w_dim) to start from; default the mean face.

        Returns:
            `StyleSketchOutput` with the sketches of the faces found; `inversion_error` is mean |S(w) − s|, in [0, 1].

        Raises:
            InputError: no sketch, or an argument out of range.
        """
        if num_inference_steps < 1 or not 0 < learning_rate < float("inf") or not 0 <= norm_weight < float("inf"):
            raise InputError(
                f"num_inference_steps is {num_inference_steps}, learning_rate {learning_rate} and norm_weight {norm_weight}; the "
                "first two must be above 0, the last not negative."
            )
        side = self.stylegan.config["resolution"]
        wanted = grey(to_tensor([square(one, side) for one in _listed(sketch)])).to(self.device) / 2 + 0.5
        mean = self.stylegan.w_avg.float().expand(1, self.stylegan.num_ws, -1)
        start = mean.expand(len(wanted), -1, -1) if latents is None else self._checked(latents)
        if len(start) != len(wanted):
            raise InputError(f"there are {len(start)} latents for {len(wanted)} sketches; give one each.")
        found = []
        bar = tqdm(total=len(wanted) * num_inference_steps, **getattr(self, "_progress_bar_config", {}))
        with bar, torch.enable_grad():
            for target, first in zip(wanted[:, None], start, strict=True):
                ws = first[None].clone().requires_grad_()
                optimiser = torch.optim.Adam([ws], lr=learning_rate)
                schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_inference_steps)
                for _ in range(num_inference_steps):
                    _, drawn = self.draw(ws)
                    loss = F.l1_loss(drawn, target) + norm_weight * (ws - mean).square().mean()
                    if perceptual is not None:
                        both = (one.expand(-1, 3, -1, -1) * 2 - 1 for one in (drawn, target))
                        loss = loss + perceptual_weight * perceptual(*both).mean()
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                    bar.update()
                found.append(ws.detach())
        ws = torch.cat(found)
        faces, sketches = self._drawn(ws)
        error = (sketches - wanted).abs().mean((1, 2, 3))
        return StyleSketchOutput(
            images=_output(sketches * 2 - 1, output_type), faces=_output(faces, output_type), latents=ws, inversion_error=error
        )

    @torch.no_grad()
    def _drawn(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Like `draw`, one at a time, so that neighbours never change a sketch."""
        pairs = [self.draw(one[None]) for one in ws]
        return torch.cat([face for face, _ in pairs]), torch.cat([sketch for _, sketch in pairs])

    def _checked(self, latents: Tensor) -> Tensor:
        shape = (self.stylegan.num_ws, self.stylegan.config["w_dim"])
        if latents.ndim != 3 or not len(latents) or latents.shape[1:] != shape or not latents.isfinite().all():
            raise InputError(f"latents are {tuple(latents.shape)}; this StyleGAN needs finite (B, {shape[0]}, {shape[1]}).")
        return latents.detach().to(self.device, torch.float32)


def _listed(image: ImageLike | Sequence[ImageLike]) -> list[Image.Image]:
    several = image.ndim == 4 if isinstance(image, Tensor | np.ndarray) else isinstance(image, list | tuple)
    given: list[Any] = list(image) if several else [image]  # type: ignore[arg-type]
    if not given:
        raise InputError("there is no picture; give at least one.")
    if wrong := [one for one in given if not isinstance(one, Image.Image | np.ndarray | Tensor)]:
        raise InputError(f"a picture must be a PIL image, an array or a tensor, not {wrong[0]!r}; open files first.")
    return [to_rgb(one) for one in given]


def _output(pictures: Tensor, kind: OutputType) -> Any:
    """(B, C, H, W) about [-1, 1] → what was asked for."""
    if kind == "pil":
        return to_pil(pictures)
    unit = (pictures / 2 + 0.5).clamp(0, 1)
    if kind == "pt":
        return unit
    if kind == "np":
        return unit.cpu().permute(0, 2, 3, 1).numpy()
    raise InputError(f"output_type is {kind!r}; choose pil, np or pt.")
