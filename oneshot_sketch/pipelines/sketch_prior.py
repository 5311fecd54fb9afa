"""A pipeline's sketch prior: loading it, drawing by it, and guiding a call with what it drew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import retrieve_latents
from PIL import Image
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.pipelines.guided_scheduler import GuidedScheduler


class Drawn(Protocol):
    """What a prior makes of photos, in their frame; `oneshot_sketch.sketch_prior.PriorSketch` is one.

    Attributes:
        sketch: (B, 1, H, W) in [-1, 1], paper where there is nothing.
        trust: (B, 1, H, W) in [0, 1].
        error: (B,), the inversion's.
    """

    @property
    def sketch(self) -> Tensor: ...
    @property
    def trust(self) -> Tensor: ...
    @property
    def error(self) -> Tensor: ...


class Prior(Protocol):
    """Photos → sketches; `oneshot_sketch.sketch_prior.SketchPrior` is one.

    Attributes:
        fingerprint: of all that decides what it draws.
    """

    @property
    def fingerprint(self) -> str: ...
    def sketch(self, photos: Image.Image | list[Image.Image], size: tuple[int, int] | None = None) -> Drawn: ...


@dataclass(frozen=True, kw_only=True)
class PriorGuidance:
    """How a sketch prior takes part in a call; names and defaults of the pipeline's arguments.

    Attributes:
        sketch_prior_scale: s of `guidance.prior_correction`; 0 turns the correction off.
        sketch_prior_start, sketch_prior_stop: the steps corrected, as fractions of the schedule.
        sketch_prior_init: share of the schedule left out, from 0 (none: start from noise) to below 1; what is left starts
            from the noised latent of the prior sketch, and of the photo's greys where the prior is not trusted.

    Raises:
        InputError: a value out of range.
    """

    sketch_prior_scale: float = 0.0
    sketch_prior_start: float = 0.0
    sketch_prior_stop: float = 1.0
    sketch_prior_init: float = 0.0

    def __post_init__(self) -> None:
        for name, value in self.prior_arguments.items():
            object.__setattr__(self, name, float(value))
        if not 0 <= self.sketch_prior_scale < math.inf:
            raise InputError(f"sketch_prior_scale is {self.sketch_prior_scale}; it must be finite and not negative.")
        if not 0 <= self.sketch_prior_start < self.sketch_prior_stop <= 1:
            raise InputError(
                f"sketch_prior_start is {self.sketch_prior_start} and sketch_prior_stop {self.sketch_prior_stop}; they must be "
                "fractions of the schedule from 0 to 1, the first the smaller."
            )
        if not 0 <= self.sketch_prior_init < 1:
            raise InputError(f"sketch_prior_init is {self.sketch_prior_init}; it must be at least 0 and below 1.")

    @property
    def uses_prior(self) -> bool:
        return self.sketch_prior_scale > 0 or self.sketch_prior_init > 0

    @property
    def prior_arguments(self) -> dict[str, float]:
        """The four values by name."""
        return {field.name: getattr(self, field.name) for field in fields(PriorGuidance)}


@dataclass(frozen=True)
class FittedPrior:
    """A prior's sketches at the size that is drawn, float32 on the CPU; attributes as of `Drawn`."""

    sketch: Tensor
    trust: Tensor
    error: Tensor

    @classmethod
    def of(cls, drawn: Drawn, size: tuple[int, int]) -> FittedPrior:
        """Resized to `size`, width and height."""

        def fitted(plane: Tensor) -> Tensor:
            plane = plane.detach().float().cpu()
            return plane if plane.shape[-2:] == size[::-1] else F.interpolate(plane, size[::-1], mode="bilinear", antialias=True)

        return cls(fitted(drawn.sketch), fitted(drawn.trust), drawn.error.detach().float().cpu())

    @classmethod
    def join(cls, parts: Sequence[FittedPrior]) -> FittedPrior:
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("sketch", "trust", "error")))


def open_prior(prior: Prior | str | Path, device: torch.device) -> Prior:
    """The prior in a folder, or the embedded one, "mini", on a device; an object as and where it is.

    Raises:
        InputError: there is none, it is damaged, or the object is no prior.
    """
    if isinstance(prior, str | Path):
        from oneshot_sketch.sketch_prior import SketchPrior

        return SketchPrior.from_pretrained(prior, device=device)  # pyright: ignore[reportReturnType]
    if not (hasattr(prior, "sketch") and hasattr(prior, "fingerprint")):
        raise InputError(f'{prior!r} is no sketch prior; give "mini", a folder or a SketchPrior.')
    return prior


def draw_prior(prior: Prior, photos: Sequence[Image.Image], size: tuple[int, int]) -> FittedPrior:
    """What a prior makes of upright RGB photos, at `size`, width and height.

    Raises:
        InputError: as the prior's own, where there is no face to draw, say.
    """
    # An inversion may be an optimisation, and pipelines are called without gradients.
    with torch.inference_mode(False), torch.enable_grad():
        return FittedPrior.of(prior.sketch(list(photos), size), size)


class GuidedBySketchPrior:
    """The part of a pipeline that knows of a sketch prior. Not a component: it is neither saved nor moved with the pipeline."""

    scheduler: Any
    vae: Any

    @property
    def sketch_prior(self) -> Prior | None:
        """The loaded one."""
        return self.__dict__.get("_sketch_prior")

    def load_sketch_prior(self, prior: Prior | str | Path) -> Self:
        """Load a sketch prior; it takes part in calls with `sketch_prior_scale` or `sketch_prior_init` above 0.

        Args:
            prior: "mini", a folder, or the object itself: anything with `fingerprint` and `sketch(photos, size)`.

        Raises:
            InputError: as `open_prior`.
        """
        self.__dict__["_sketch_prior"] = open_prior(prior, self._execution_device)  # type: ignore[attr-defined]
        return self

    def unload_sketch_prior(self) -> None:
        """Forget it; the pipeline is as it was loaded."""
        self.__dict__.pop("_sketch_prior", None)

    def _prior_of(self, seen: Sequence[Image.Image], size: tuple[int, int], given: Drawn | None) -> FittedPrior:
        """The given prior sketches, or what the loaded prior makes of photos as they were seen."""
        if given is None:
            if self.sketch_prior is None:
                raise InputError("there is no prior to guide by; load_sketch_prior() first, or leave sketch_prior_scale at 0.")
            return draw_prior(self.sketch_prior, seen, size)
        if len(given.sketch) != len(seen):
            raise InputError(f"there are {len(given.sketch)} prior sketches for {len(seen)} photos; give one each.")
        return FittedPrior.of(given, size)

    @contextmanager
    def _guided(
        self, prior: FittedPrior | None, guidance: PriorGuidance, photos: Sequence[Image.Image], copies: int
    ) -> Iterator[None]:
        """While inside, the scheduler is one guided by the prior sketches of photos of one size, each drawn `copies` times."""
        if prior is None:
            yield
            return
        elsewhere = None
        if guidance.sketch_prior_init > 0:
            elsewhere = self._sketch_latents(grey(to_tensor(list(photos)))).repeat_interleave(copies, 0)
        plain = self.scheduler
        # Past diffusers' own setter, which would write the stand-in into the pipeline's config.
        self.__dict__["scheduler"] = GuidedScheduler(
            plain,
            self._sketch_latents(prior.sketch).repeat_interleave(copies, 0),
            prior.trust.repeat_interleave(copies, 0),
            scale=guidance.sketch_prior_scale,
            start=guidance.sketch_prior_start,
            stop=guidance.sketch_prior_stop,
            skipped=guidance.sketch_prior_init,
            elsewhere=elsewhere,
        )
        try:
            yield
        finally:
            self.__dict__["scheduler"] = plain

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Tensor:
        latents = super().prepare_latents(*args, **kwargs)  # type: ignore[misc]
        return self.scheduler.begin(latents) if isinstance(self.scheduler, GuidedScheduler) else latents

    def _sketch_latents(self, plane: Tensor) -> Tensor:
        """(B, 1, H, W) in [-1, 1] → (B, C, h, w) float32, the posterior's mode, scaled."""
        pixels = plane.expand(-1, 3, -1, -1).to(self._execution_device, self.vae.dtype)  # type: ignore[attr-defined]
        encoded = retrieve_latents(self.vae.encode(pixels), sample_mode="argmax")
        return encoded.float() * self.vae.config.scaling_factor
