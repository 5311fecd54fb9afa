"""The smallest training of *Picture that Sketch*, on a random StyleGAN of 32 pixels."""

from __future__ import annotations

from typing import Any

import torch
from tiny_stylegan import drawn_face, tiny_stylegan
from torch import Tensor

from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.learners.fine_grained_embedding import FineGrainedConfig
from oneshot_sketch.learners.picture_that_sketch import PictureThatSketchConfig, PictureThatSketchLearner
from oneshot_sketch.learners.picture_that_sketch_data import PseudoPairs
from oneshot_sketch.models.inversion import laplacian_distance
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator

NETWORK: dict[str, Any] = {"backbone": "small", "input_size": 32, "widths": (8, 8, 16), "units": 1, "weights": None}
EMBEDDING = FineGrainedConfig(**NETWORK, dim=8, steps=3, batch=3, learning_rate=1e-3, augment=0.3, log_every=2)


def stylegan() -> StyleGAN2Generator:
    """One whose pictures lie in [-1, 1], so that they can be redrawn exactly."""
    generator = tiny_stylegan()
    for name, value in generator.named_parameters():
        if name.endswith(("torgb.weight", "torgb.bias")):
            value.data.mul_(0.15)
    return generator


def config(**changes: Any) -> PictureThatSketchConfig:
    small = {**NETWORK, "hidden": 16, "steps": 5, "teacher_steps": 4, "batch": 2, "learning_rate": 3e-3, "log_every": 2}
    return PictureThatSketchConfig(**{**small, **changes})


def learner(given: dict[str, Any] | None = None, **changes: Any) -> PictureThatSketchLearner:
    more = {"embedding": EMBEDDING, "perceptual": laplacian_distance, "partial": rubbed_out}
    return PictureThatSketchLearner(stylegan(), config(**changes), **{**more, **(given or {})})


def rubbed_out(sketches: Tensor, completion: Tensor, generator: torch.Generator) -> Tensor:
    """White from some row downwards."""
    rows = torch.arange(sketches.shape[2]) / sketches.shape[2]
    return torch.where(rows[None, None, :, None] < completion.view(-1, 1, 1, 1), sketches, 1.0)


def invented(count: int = 20) -> PseudoPairs:
    return PseudoPairs(stylegan(), lambda photos: grey(photos).sign(), count)


def four(with_latents: bool = True) -> list[tuple[Tensor, ...]]:
    """Photos by the StyleGAN under sketches that have nothing to do with them but belong together."""
    data = invented(4)
    made = [(data[i][0], grey(to_tensor(drawn_face(i)))[0], data[i][2]) for i in range(4)]
    return made if with_latents else [example[:2] for example in made]
