from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from oneshot_sketch import InputError, InstructionLearnerConfig
from oneshot_sketch.learners.ide_config import IDELearnerConfig
from oneshot_sketch.learners.most_net import MostNetConfig
from oneshot_sketch.learners.stylesketch_config import StyleSketchLearnerConfig

ALL: list[Any] = [InstructionLearnerConfig(), IDELearnerConfig(), MostNetConfig(), StyleSketchLearnerConfig()]


@pytest.mark.parametrize("config", ALL, ids=lambda config: type(config).__name__)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "steps is 0; it must be above 0"),
        ("seed", -1, "seed is -1; it must be a number and not negative"),
        ("seed", 2**32, "seed is 4294967296; it must be below"),
    ],
)
def test_every_learner_refuses_nonsense_by_name(config: Any, name: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(config, **{name: value})
    assert replace(config, seed=2**32 - 1).seed == 2**32 - 1


@pytest.mark.parametrize(
    ("config", "name", "value", "message"),
    [
        (ALL[0], "learning_rate", math.nan, "learning_rate is nan; it must be above 0"),
        (ALL[0], "schedule", "square", "schedule is 'square'; choose one of "),
        (ALL[1], "adversarial_weight", math.inf, "adversarial_weight is inf; it must be a number"),
        (ALL[1], "flip", 1.5, "flip is 1.5; it must be from 0 to 1"),
        (ALL[1], "precision", "float16", "precision is 'float16'; choose one of float32, bfloat16"),
        (ALL[2], "memory_weight", -1.0, "memory_weight is -1.0; it must be a number"),
        (ALL[2], "jitter", 1.1, "jitter is 1.1; it must be from 0 to 1"),
        (ALL[2], "assignment", "none", "assignment is 'none'; choose one of separate, paired"),
        (ALL[3], "stage_one", -0.1, "stage_one is -0.1; it must be from 0 to 1"),
        (ALL[3], "perceptual", "vgg19", "perceptual is 'vgg19'; choose one of vgg16, squeezenet"),
    ],
)
def test_each_kind_of_range(config: Any, name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(config, **{name: value})
