"""Images → weights. Learners never import pipelines."""

from oneshot_sketch.learners.config import InstructionLearnerConfig
from oneshot_sketch.learners.instruction import InstructionLearner, LearningState

__all__ = ["InstructionLearner", "InstructionLearnerConfig", "LearningState"]
