"""A random StyleGAN2 of 32 pixels, its sketch generator, mappers and embeddings, saved as benchmark and recipes find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_stylegan import tiny_stylegan

from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
from oneshot_sketch.models.picture_that_sketch import ParallelMapper, SketchMapper
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline

TRUNK: dict[str, Any] = {"backbone": "small", "input_size": 32, "widths": (8, 8, 16), "units": 1}


def pipeline(kind: type[SketchMapper] | type[ParallelMapper] = SketchMapper) -> PictureThatSketchPipeline:
    """A mapper that knows nothing, but whose latents differ visibly from sketch to sketch."""
    stylegan = tiny_stylegan()
    torch.manual_seed(1)
    mapper = kind(stylegan.num_ws, 16, 5, **TRUNK)
    for name, values in mapper.named_parameters():
        if name.startswith("offset"):
            torch.nn.init.normal_(values)
    return PictureThatSketchPipeline(stylegan, mapper)


def embedding(seed: int) -> FineGrainedEmbedding:
    torch.manual_seed(seed)
    return FineGrainedEmbedding(dim=8, **TRUNK)


def put_networks(folder: Path) -> Path:
    """generator/, sketch_generator/, autoregressive/, parallel/, embedding/ and judge/."""
    stylegan = tiny_stylegan()
    stylegan.save_pretrained(folder / "generator")
    torch.manual_seed(2)
    StyleSketchGenerator.for_stylegan(stylegan, width=8).save_pretrained(folder / "sketch_generator")
    pipeline(SketchMapper).save_pretrained(folder / "autoregressive")
    pipeline(ParallelMapper).save_pretrained(folder / "parallel")
    embedding(0).save_pretrained(folder / "embedding")
    embedding(1).save_pretrained(folder / "judge")
    return folder
