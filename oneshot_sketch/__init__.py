"""One-shot instruction tuning of diffusion models, made for face sketches."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from oneshot_sketch.backbone import FrozenInstructPix2Pix
    from oneshot_sketch.errors import InputError
    from oneshot_sketch.instruction_record import InstructionRecord
    from oneshot_sketch.learned_instruction import LearnedInstruction
    from oneshot_sketch.learners.config import InstructionLearnerConfig
    from oneshot_sketch.learners.instruction import InstructionLearner
    from oneshot_sketch.pair import PhotoSketchPair
    from oneshot_sketch.pipelines.one_shot_sketch import OneShotSketchPipeline
    from oneshot_sketch.sketch_prior import SketchPrior

_HOME = {
    "FrozenInstructPix2Pix": "backbone",
    "InputError": "errors",
    "InstructionLearner": "learners.instruction",
    "InstructionLearnerConfig": "learners.config",
    "InstructionRecord": "instruction_record",
    "LearnedInstruction": "learned_instruction",
    "OneShotSketchPipeline": "pipelines.one_shot_sketch",
    "PhotoSketchPair": "pair",
    "SketchPrior": "sketch_prior",
}
__all__ = [
    "FrozenInstructPix2Pix",
    "InputError",
    "InstructionLearner",
    "InstructionLearnerConfig",
    "InstructionRecord",
    "LearnedInstruction",
    "OneShotSketchPipeline",
    "PhotoSketchPair",
    "SketchPrior",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'oneshot_sketch' has no attribute {name!r}")
    return getattr(import_module(f"oneshot_sketch.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
