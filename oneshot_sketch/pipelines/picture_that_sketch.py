"""Sketch → photo through a frozen StyleGAN2, in many appearances or in that of a reference photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils.outputs import BaseOutput
from torch import Tensor

from oneshot_sketch.errors import InputError, loading
from oneshot_sketch.images import ImageLike, grey, square, to_pil, to_tensor
from oneshot_sketch.models.inversion_encoder import InversionEncoder
from oneshot_sketch.models.picture_that_sketch import ParallelMapper, SketchMapper, filled
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.pipelines.photos import open_photos
from oneshot_sketch.sketch_prior import MINI as PRIOR

Mapper = SketchMapper | ParallelMapper
MINI = {"generator": PRIOR / "generator", "mapper": PRIOR / "mapper", "teacher": PRIOR / "encoder"}


@dataclass
class PictureThatSketchOutput(BaseOutput):
    """Photos, those of one sketch next to each other.

    Attributes:
        images: RGB `PIL.Image` list; or an array (B, H, W, 3), or a tensor (B, 3, H, W), in [0, 1].
        latents: (B, num_ws, w_dim) float32.
    """

    images: Any
    latents: Tensor


class PictureThatSketchPipeline(DiffusionPipeline):
    """A StyleGAN2 and a mapper that reads sketches for it. All are frozen in place.

    Args:
        generator: of faces, or of whatever the sketches show.
        mapper: trained for that very network.
        teacher: photo → all of the generator's ws, for references; an `InversionEncoder` serves.

    Raises:
        InputError: networks that do not go together.
    """

    model_cpu_offload_seq = "mapper->teacher->generator"
    _optional_components = ["teacher"]  # noqa: RUF012
    generator: StyleGAN2Generator
    mapper: Mapper
    teacher: Mapper | InversionEncoder | None

    def __init__(self, generator: StyleGAN2Generator, mapper: Mapper, teacher: Mapper | InversionEncoder | None = None) -> None:
        super().__init__()
        needed = generator.num_ws, generator.config["w_dim"]
        for name, network in (("mapper", mapper), ("teacher", teacher)):
            if network is not None and (given := (network.config["num_ws"], network.config["w_dim"])) != needed:
                raise InputError(
                    f"the {name} is of a generator with ws {given}, this one has {needed}; load the two that belong."
                )
        for network in (generator, mapper, teacher):
            if network is not None:
                network.eval().requires_grad_(False)
        self.register_modules(generator=generator, mapper=mapper, teacher=teacher)

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> PictureThatSketchPipeline:
        """Load a folder that `save_pretrained` wrote, or a Hub id, with diffusers' own keyword arguments.

        "mini" is what ships with the package: 64 pixels, the sketch prior's generator, its encoder as the teacher, and a mapper.

        Raises:
            InputError: not found, damaged, or something else.
        """
        if str(pretrained_model_name_or_path) == "mini":
            dtype = kwargs.get("dtype") or kwargs.get("torch_dtype") or torch.float32
            kinds = {"generator": StyleGAN2Generator, "mapper": SketchMapper, "teacher": InversionEncoder}
            embedded = [part for part in kinds if part not in kwargs]
            parts = {part: kinds[part].from_pretrained(MINI[part], torch_dtype=dtype) for part in embedded}
            return cls(**parts, **{part: kwargs[part] for part in kinds if part in kwargs})
        kwargs.setdefault("use_safetensors", True)
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        with loading(pretrained_model_name_or_path, "a Picture that Sketch pipeline"):
            return super().from_pretrained(str(pretrained_model_name_or_path), **kwargs)

    @torch.no_grad()
    def __call__(
        self,
        sketch: ImageLike | Sequence[ImageLike],
        num_latents: int | None = None,
        num_images: int = 1,
        reference: ImageLike | None = None,
        *,
        truncation: float = 0.7,
        seed: int = 0,
        generator: torch.Generator | None = None,
        output_type: Literal["pil", "np", "pt"] = "pil",
        return_dict: bool = True,
    ) -> PictureThatSketchOutput | tuple[Any, Tensor]:
        """Imagine photos of what sketches show.

        Args:
            sketch: one or several, in the generator's crop, ink dark; the largest centred square is taken.
            num_latents: how many latents the sketch decides, coarse to fine; fewer read it more freely. None is all the mapper
                predicts.
            num_images: photos of each sketch. The n-th has the same appearance whatever the sketch.
            reference: a photo that lends the rest of the latents, in place of random ones; all photos of a sketch are then alike.
            truncation: of random latents towards the mean; 1 is as varied as the generator.
            seed: of random latents.
            generator: on the CPU, draws them in place of the seed.
            output_type: "pil", "np" or "pt".

        Returns:
            `PictureThatSketchOutput`; with `return_dict=False`, its images and latents.

        Raises:
            InputError: no sketch, a reference without a teacher, or an argument out of range.
        """
        if isinstance(sketch, Sequence) and not sketch:
            raise InputError("there is no sketch; give at least one.")
        most = self.mapper.config["max_predicted"]
        if num_latents is not None and not 1 <= num_latents <= most:
            raise InputError(f"num_latents is {num_latents}; this mapper predicts 1 to {most}.")
        if num_images < 1 or not 0 <= truncation < float("inf") or output_type not in ("pil", "np", "pt"):
            raise InputError(
                f"num_images is {num_images}, truncation {truncation} and output_type {output_type!r}; give at least 1, a number "
                "not below 0, and pil, np or pt."
            )
        sketches = grey(to_tensor([square(one, self.mapper.config["input_size"]) for one in open_photos(sketch)]))
        tails = self._tails(num_images, reference, truncation, generator or torch.Generator().manual_seed(seed))
        pictures, latents = [], []
        for one in sketches:  # one at a time, so that neighbours never change a photo
            predicted = self.mapper(one[None].to(self.device, self.mapper.dtype), num_latents).float()
            for tail in tails:
                ws = filled(predicted, tail[None])
                pictures.append(self.generator.synthesize(ws).image.float())
                latents.append(ws)
        images, ws = _output(torch.cat(pictures), output_type), torch.cat(latents)
        if not return_dict:
            return images, ws
        return PictureThatSketchOutput(images=images, latents=ws)

    def _tails(self, count: int, reference: ImageLike | None, truncation: float, draw: torch.Generator) -> Tensor:
        """(count, num_ws, w_dim) float32: one w on every layer each, or the reference's."""
        if reference is None:
            size = self.generator.config["z_dim"]
            drawn = [torch.randn(1, size, generator=draw).to(self.device, self.generator.dtype) for _ in range(count)]
            return torch.cat([self.generator.map(z, truncation).float() for z in drawn])  # each alone, as the sketches are
        if self.teacher is None:
            raise InputError("a reference photo needs a teacher that reads its latents; load the pipeline with teacher=.")
        photos = open_photos(reference)
        if len(photos) > 1:
            raise InputError(f"there are {len(photos)} references; give one.")
        photo = to_tensor(square(photos[0], self.generator.config["resolution"])).to(self.device, self.teacher.dtype)
        return self.teacher(photo).float().expand(count, -1, -1)


def _output(pictures: Tensor, kind: str) -> Any:
    if kind == "pil":
        return to_pil(pictures)
    unit = (pictures / 2 + 0.5).clamp(0, 1)
    return unit if kind == "pt" else unit.cpu().permute(0, 2, 3, 1).numpy()
