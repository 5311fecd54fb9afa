"""One-shot instruction tuning, ours and VISII's, and its ablations: a preset and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from oneshot_sketch.benchmark.rivals.networks import drawn, forgiving_prior, frozen, pipeline
from oneshot_sketch.benchmark.system import register
from oneshot_sketch.learners import InstructionLearner, InstructionLearnerConfig
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.pipelines.sketch_prior import PriorGuidance


@register("instruction")
class Instruction:
    """A learned instruction.

    Args:
        preset: of `InstructionLearnerConfig`: "default", "many-steps", "guidance-free", "paper" or "visii".
        changes: settings that differ from the preset.
        text: joined with the instruction (the hybrid instruction).
        steps, guidance_scale, image_guidance_scale: default the backbone's own.
        sketch_prior: "mini" or a folder, used at a scale above 0. A photo it finds no one face in is drawn without it.
        sketch_prior_scale, sketch_prior_start, sketch_prior_stop, sketch_prior_init: of the pipeline's call.
    """

    def __init__(
        self,
        backbone: str = "mini",
        preset: str = "default",
        changes: Mapping[str, Any] | None = None,
        text: str | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        sketch_prior: str = "mini",
        sketch_prior_scale: float = 0.0,
        sketch_prior_start: float = 0.0,
        sketch_prior_stop: float = 1.0,
        sketch_prior_init: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.config = InstructionLearnerConfig.preset(preset, **{"seed": seed, **(changes or {})})
        self.pipe, self.frozen, self.text, self.seed = pipeline(backbone), frozen(backbone), text, seed
        self.drawing = {
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "image_guidance_scale": image_guidance_scale,
        }
        self.guidance = PriorGuidance(
            sketch_prior_scale=sketch_prior_scale,
            sketch_prior_start=sketch_prior_start,
            sketch_prior_stop=sketch_prior_stop,
            sketch_prior_init=sketch_prior_init,
        )
        self.prior = forgiving_prior(sketch_prior) if self.guidance.uses_prior else None

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        self.instruction = InstructionLearner(self.frozen, self.config).learn(list(pairs), progress=False)

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        self.pipe.load_instruction(self.instruction, "benchmark")
        if self.prior is not None:
            self.pipe.load_sketch_prior(self.prior)
        try:
            return drawn(self.pipe, photos, self.seed, text=self.text, **self.drawing, **self.guidance.prior_arguments)
        finally:
            self.pipe.unload_instruction("benchmark")
            self.pipe.unload_sketch_prior()
