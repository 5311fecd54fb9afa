"""SDEdit with a learned instruction: half-noise the photo itself, then denoise by the instruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image
from torch import Tensor

from oneshot_sketch.benchmark.rivals.instruction import Instruction
from oneshot_sketch.benchmark.rivals.networks import BATCH
from oneshot_sketch.benchmark.system import register
from oneshot_sketch.errors import InputError
from oneshot_sketch.guidance import two_scale_guidance
from oneshot_sketch.images import fitted_size, to_pil, to_tensor


@register("sdedit")
class SDEdit(Instruction):
    """Meng et al. 2022: start from z_t of the photo at t = strength · T instead of from noise.

    Args:
        strength: share of the schedule that is noised and denoised, in (0, 1].
        The others are those of `Instruction`.
    """

    def __init__(self, strength: float = 0.6, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        if not 0 < strength <= 1:
            raise InputError(f"strength is {strength}; it must be above 0 and at most 1.")
        if self.guidance.uses_prior:
            raise InputError("sdedit starts from the photo and takes no sketch prior; give it to the system instruction.")
        self.strength = strength

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        sketches: list[Image.Image] = []
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            size = fitted_size(batch[0].size, self.pipe.native_resolution)
            fitted = [photo.resize(size, Image.Resampling.LANCZOS) for photo in batch]
            sketches += [s.resize(p.size, Image.Resampling.LANCZOS) for s, p in zip(self._edit(fitted), batch, strict=True)]
        return sketches

    @torch.no_grad()
    def _edit(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        frozen, defaults = self.frozen, self.frozen.drawing
        steps, text_scale, image_scale = (
            defaults[name] if self.drawing[name] is None else self.drawing[name] for name in self.drawing
        )
        scheduler: Any = DDIMScheduler.from_config(self.pipe.scheduler.config)
        scheduler.set_timesteps(round(int(steps) / self.strength), device=frozen.device)
        timesteps = scheduler.timesteps[-int(steps) :]

        seen = to_tensor(list(photos))
        z_p = frozen.encode_photo(seen)
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(z_p[:1].shape, generator=generator).to(frozen.device).expand_as(z_p)
        first = timesteps[:1].expand(len(z_p))
        z = frozen.add_noise(frozen.encode_sketch(seen), noise, first)
        learned = self.instruction
        rows, neutral = (r.to(frozen.device).expand(len(z_p), -1, -1) for r in (learned.embeddings, learned.neutral))
        for t in timesteps:
            branches = ((rows, z_p), (neutral, z_p), (neutral, torch.zeros_like(z_p)))
            outputs: list[Tensor] = [frozen.predict(z, t.expand(len(z)), r, p) for r, p in branches]
            guided = two_scale_guidance(*outputs, float(text_scale), float(image_scale))
            z = scheduler.step(guided, int(t), z).prev_sample
        decoded = frozen.vae.decode((z / frozen.vae.config.scaling_factor).to(frozen.vae.dtype)).sample
        return to_pil(decoded.float())
