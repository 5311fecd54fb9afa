"""InstructPix2Pix by plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from oneshot_sketch.attributes import describe, typical
from oneshot_sketch.benchmark.measures import build_metric
from oneshot_sketch.benchmark.rivals.networks import drawn, pipeline
from oneshot_sketch.benchmark.system import register
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import to_tensor
from oneshot_sketch.metrics import ssim, tone_distance
from oneshot_sketch.pair import PhotoSketchPair


@register("text")
class Text:
    """The prompt among `prompts` that redraws the exemplar best: lowest tone distance − SSIM, or lowest LPIPS.

    Args:
        prompts: candidates; with one there is no choice.
        look: add the look of the exemplar's hand, in the words that `mini` was taught.
        lpips: options of the metric "lpips", which then chooses.
        steps, guidance_scale, image_guidance_scale: default the backbone's own.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        backbone: str = "mini",
        look: bool = False,
        lpips: Mapping[str, Any] | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        seed: int = 0,
    ) -> None:
        if not prompts:
            raise InputError("the text system needs at least one prompt.")
        self.prompts, self.look, self.seed = list(prompts), look, seed
        self.lpips = lpips
        if lpips is not None:
            build_metric("lpips", lpips)  # says now if its weights are absent
        self.pipe = pipeline(backbone)
        self.drawing = {
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "image_guidance_scale": image_guidance_scale,
        }

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        pair, truth = pairs[0], to_tensor(pairs[0].sketch)
        look = f" {describe(typical(truth, to_tensor(pair.photo))[0])}" if self.look else ""
        candidates = [prompt + look for prompt in self.prompts]

        def error(prompt: str) -> float:
            again = to_tensor(self._say(prompt, [pair.photo])[0])
            if self.lpips is None:
                return (tone_distance(again, truth) - ssim(again, truth)).item()
            judge = build_metric("lpips", self.lpips)
            judge.update(again, truths=truth)
            return judge.compute().value

        self.prompt = min(candidates, key=error) if len(candidates) > 1 else candidates[0]

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return self._say(self.prompt, photos)

    def _say(self, prompt: str, photos: Sequence[Image.Image]) -> list[Image.Image]:
        return drawn(self.pipe, photos, self.seed, prompt=prompt, **self.drawing)
