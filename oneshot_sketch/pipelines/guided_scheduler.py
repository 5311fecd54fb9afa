"""Any of diffusers' schedulers, given outputs that a sketch prior has corrected."""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.guidance import prior_correction


class GuidedScheduler:
    """Stands in a pipeline's scheduler's place for one call, and is in everything else that scheduler.

    Args:
        scheduler: it works on unchanged; any that samples ε or v by `alphas_cumprod`.
        prior: (B, C, h, w) float32, the scaled latents of the prior sketches.
        trust: (B, 1, H, W) in [0, 1], of any size.
        scale: s of `prior_correction`.
        start, stop: the steps corrected, as fractions of the schedule.
        skipped: share of the schedule left out at its beginning.
        elsewhere: (B, C, h, w), what to start from where the prior is not trusted; None starts from noise.

    Raises:
        InputError: the scheduler is of another kind.
    """

    def __init__(
        self,
        scheduler: Any,
        prior: Tensor,
        trust: Tensor,
        *,
        scale: float,
        start: float,
        stop: float,
        skipped: float,
        elsewhere: Tensor | None,
    ) -> None:
        config = scheduler.config
        flows = config.get("use_flow_sigmas") or "sigma_data" in config or not hasattr(scheduler, "alphas_cumprod")
        if flows or config.get("prediction_type") not in ("epsilon", "v_prediction"):
            raise InputError(
                f"{type(scheduler).__name__} as it is configured cannot be guided by a sketch prior; choose one that samples "
                "epsilon or v by alphas_cumprod, such as DDIMScheduler."
            )
        self._scheduler, self._kind = scheduler, config.prediction_type
        self._prior = prior
        self._trust = F.interpolate(trust.to(prior), size=prior.shape[-2:], mode="area")
        self._weight = scale * self._trust
        self._start, self._stop, self._skipped, self._elsewhere = start, stop, skipped, elsewhere

        @wraps(scheduler.step)  # pipelines ask its signature what else it takes
        def step(model_output: Tensor, timestep: Tensor, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
            return scheduler.step(self._corrected(model_output, timestep, sample), timestep, sample, *args, **kwargs)

        self.step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    def set_timesteps(self, num_inference_steps: int, **kwargs: Any) -> None:
        self._scheduler.set_timesteps(num_inference_steps, **kwargs)
        self._times: list[float] = self._scheduler.timesteps.tolist()
        self._rescales = float(self._scheduler.init_noise_sigma) != 1
        self._index = self._first = 0
        if self._elsewhere is not None:
            left_out = min(round(self._skipped * num_inference_steps), num_inference_steps - 1)
            self._index = self._first = left_out * self._scheduler.order
            if hasattr(self._scheduler, "set_begin_index"):
                self._scheduler.set_begin_index(self._first)

    @property
    def timesteps(self) -> Tensor:
        """Those that are left; the scheduler itself knows of all."""
        return self._scheduler.timesteps[self._first :]

    def begin(self, latents: Tensor) -> Tensor:
        """Initial latents, as a pipeline scales them → those of the prior sketch, noised to the first step."""
        if self._elsewhere is None:
            return latents
        clean = self._trust * self._prior + (1 - self._trust) * self._elsewhere
        noise = latents.float() / self._scheduler.init_noise_sigma
        return self._scheduler.add_noise(clean, noise, self.timesteps[:1]).to(latents.dtype)

    def _corrected(self, model_output: Tensor, timestep: Tensor, sample: Tensor) -> Tensor:
        index, count = self._index, len(self._times)
        alpha, sigma = self._level(timestep)
        self._index += 1
        if not (self._start <= index / count and (index + 1) / count <= self._stop):
            return model_output
        noisy = sample.float() * alpha if self._rescales else sample.float()
        corrected = prior_correction(model_output.float(), noisy, self._prior, self._weight, alpha, sigma, self._kind)
        return corrected.to(model_output.dtype)

    def _level(self, timestep: Tensor) -> tuple[float, float]:
        """√ᾱ and √(1 − ᾱ) of this step.

        Taken from the scheduler's own table of noise where it has one, for its steps may lie between those of training.
        One that rescales holds samples 1/√ᾱ times as large as the network sees them.
        """
        if self._rescales:
            alpha = self._scheduler.scale_model_input(torch.ones((), dtype=torch.float64), timestep).item()
            return alpha, (1 - alpha**2) ** 0.5
        if hasattr(self._scheduler, "sigmas"):
            ratio = float(self._scheduler.sigmas[self._index])
            alpha = (1 + ratio**2) ** -0.5
            return alpha, ratio * alpha
        kept = self._scheduler.alphas_cumprod[int(self._times[self._index])].item()
        return kept**0.5, (1 - kept) ** 0.5
