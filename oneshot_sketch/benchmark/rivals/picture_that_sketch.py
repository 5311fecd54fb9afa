"""*Picture that Sketch* (Koley et al. 2023) as it was trained before: autoregressive or parallel, whichever mapper is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from oneshot_sketch.benchmark.rivals.networks import place
from oneshot_sketch.benchmark.system import Unavailable, register
from oneshot_sketch.pair import PhotoSketchPair
from oneshot_sketch.pipelines.picture_that_sketch import PictureThatSketchPipeline


@register("picture_that_sketch")
class PictureThatSketch:
    """A pipeline's photos; every sketch gets latents of its own for what it leaves open. The exemplar is not learned from.

    Args:
        pipeline: folder of a `PictureThatSketchPipeline`.
        num_latents: how many latents the sketch decides; None is all that the mapper predicts.
        truncation: of the random ones.
        seed: of the first sketch's; the next sketches' are the next numbers.
    """

    def __init__(self, pipeline: str, num_latents: int | None = None, truncation: float = 0.7, seed: int = 0) -> None:
        self.pipe = _loaded(Path(pipeline))
        self.num_latents, self.truncation, self.seed = num_latents, truncation, seed

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        pass

    def photograph(self, sketches: Sequence[Image.Image], count: int) -> list[list[Image.Image]]:
        answers = []
        for i, sketch in enumerate(sketches):
            photos = self.pipe(
                sketch, self.num_latents, count, truncation=self.truncation, seed=self.seed + i, return_dict=False
            )[0]
            answers.append([photo.resize(sketch.size, Image.Resampling.LANCZOS) for photo in photos])
        return answers


@cache
def _loaded(folder: Path) -> PictureThatSketchPipeline:
    if not (folder / "model_index.json").is_file():
        raise Unavailable(f"{folder} is not here")
    pipe = PictureThatSketchPipeline.from_pretrained(folder, local_files_only=True)
    return pipe.to(place())
