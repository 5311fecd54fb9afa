"""What *Picture that Sketch* learns from: real pairs, or pairs made without limit from a StyleGAN."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from oneshot_sketch.atomic import replacing
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey, square, to_tensor
from oneshot_sketch.learners.draws import generator as random_numbers
from oneshot_sketch.models.stylegan2 import StyleGAN2Generator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator
from oneshot_sketch.pair import PhotoSketchPair

Draw = Callable[[Tensor], Tensor]
"""Photos (B, 3, H, W) in [-1, 1] → sketches (B, 1, H, W) in [-1, 1], ink dark."""


class Examples(Protocol):
    """A map-style data set of (photo (3, H, W), sketch (1, h, w)[, ws (num_ws, w_dim)]), pictures in [-1, 1].

    Like any of PyTorch's it may have `__getitems__`, which reads many at once.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class Batch:
    """photo (B, 3, H, W) and sketch (B, 1, h, w) in [-1, 1]; ws (B, num_ws, w_dim) where they are known."""

    photo: Tensor
    sketch: Tensor
    ws: Tensor | None


class RealPairs(Dataset[tuple[Tensor, ...]]):
    """Photos and sketches by an artist, the largest centred square of each.

    Args:
        pairs: photos in the generator's crop.
        side: of the generator's pictures.

    Raises:
        InputError: no pairs.
    """

    def __init__(self, pairs: Sequence[PhotoSketchPair], side: int) -> None:
        if not pairs:
            raise InputError("there is no pair to learn from; give at least one photo and its sketch.")
        photos = torch.cat([to_tensor(square(pair.photo, side)) for pair in pairs])
        sketches = grey(torch.cat([to_tensor(square(pair.sketch, side)) for pair in pairs]))
        self._photos, self._sketches = _eight_bits(photos), _eight_bits(sketches)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._photos[index] / 127.5 - 1, self._sketches[index] / 127.5 - 1


class PseudoPairs(Dataset[tuple[Tensor, ...]]):
    """Faces that a StyleGAN2 invents, with their sketches and their true latents. Every item is a function of (seed, index).

    Args:
        generator: draws the photos, without gradients.
        draw: a `StyleSketchGenerator` that reads the generator's features, or anything that draws photos.
        count: how many there are; more cost nothing.
        seed: another gives other faces.
        truncation: of w towards the mean face.
    """

    def __init__(
        self,
        generator: StyleGAN2Generator,
        draw: StyleSketchGenerator | Draw,
        count: int = 1_000_000,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> None:
        self.generator, self.draw, self.count, self.seed, self.truncation = generator, draw, count, seed, truncation

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.__getitems__([index])[0]

    @torch.no_grad()
    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, ...]]:
        if any(not 0 <= index < self.count for index in indices):
            raise IndexError(f"there are {self.count} pairs.")
        size = self.generator.config["z_dim"]
        z = torch.stack([torch.randn(size, generator=random_numbers(self.seed, index)) for index in indices])
        ws = self.generator.map(z.to(self.generator.w_avg), self.truncation)
        made = self.generator.synthesize(ws)
        photos = made.image.float().clamp(-1, 1)
        if isinstance(self.draw, StyleSketchGenerator):
            sketches = self.draw(made.features, made.image).float() * 2 - 1
        else:
            sketches = self.draw(photos)
        if sketches.shape[:2] != (len(photos), 1):
            raise InputError(f"drawing {tuple(photos.shape)} gives {tuple(sketches.shape)}; it must give (B, 1, H, W).")
        return list(zip(photos, sketches, ws, strict=True))


class KeptPairs(Dataset[tuple[Tensor, ...]]):
    """Examples with latents in one safetensors file, drawn once for any number of trainings; pictures in eight bits.

    Args:
        path: photo (N, 3, H, W) and sketch (N, 1, h, w) uint8, ws (N, num_ws, w_dim) float32, as `keep` writes them.

    Raises:
        InputError: another file.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            tensors = load_file(path)
            self._photos, self._sketches, self._ws = (tensors[name] for name in ("photo", "sketch", "ws"))
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path} holds no kept pairs ({error}); write it with KeptPairs.keep.") from None
        shapes = [tuple(part.shape) for part in (self._photos, self._sketches, self._ws)]
        if [len(shape) for shape in shapes] != [4, 4, 3] or len({shape[0] for shape in shapes}) > 1:
            raise InputError(f"{path} holds no kept pairs, but tensors {shapes}; write it with KeptPairs.keep.")

    @staticmethod
    def keep(parts: Sequence[Examples], path: str | Path, batch: int = 16, progress: bool = True) -> None:
        """Write all examples of some data sets, which give latents, one set after the other."""
        photos, sketches, latents = [], [], []
        with tqdm(total=sum(len(part) for part in parts), desc="pairs", disable=not progress) as bar:
            for part in parts:
                for start in range(0, len(part), batch):
                    chosen = range(start, min(start + batch, len(part)))
                    made = taken(part, chosen, torch.device("cpu"))
                    if made.ws is None:
                        raise InputError("these examples have no latents; give PseudoPairs, or real ones with a teacher's.")
                    photos.append(_eight_bits(made.photo))
                    sketches.append(_eight_bits(made.sketch))
                    latents.append(made.ws.float())
                    bar.update(len(chosen))
        tensors = {"photo": torch.cat(photos), "sketch": torch.cat(sketches), "ws": torch.cat(latents)}
        with replacing(Path(path)) as part_of_file:
            save_file(tensors, part_of_file)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self._photos[index] / 127.5 - 1, self._sketches[index] / 127.5 - 1, self._ws[index]


def taken(data: Examples, indices: Sequence[int], device: torch.device) -> Batch:
    """
    Raises:
        InputError: examples of another shape.
    """
    read: Any = getattr(data, "__getitems__", None)
    examples = read(indices) if read is not None else [data[i] for i in indices]
    try:
        photo, sketch, *ws = (part.to(device) for part in default_collate(examples))
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"the examples do not fit together ({str(error).splitlines()[0]}); make all of one size.") from None
    if photo.shape[1:2] != (3,) or sketch.shape[1:2] != (1,) or len(ws) > 1:
        shapes = tuple(photo.shape[1:]), tuple(sketch.shape[1:])
        raise InputError(f"an example must be a photo (3, H, W), a sketch (1, h, w) and perhaps ws, not {shapes}.")
    return Batch(photo, sketch, ws[0] if ws else None)


def rows(count: int, batch: int, step: int, seed: int) -> list[int]:
    """Which examples a step reads: every one once before any twice, in an order of its own each time."""
    return [int(_order(count, place // count, seed)[place % count]) for place in range(step * batch, (step + 1) * batch)]


def digest(data: Examples) -> str:
    """Which data set this is: sixteen hex digits over its length and its first four examples, bit by bit."""
    if not len(data):
        raise InputError("there is no pair to learn from; give at least one photo and its sketch.")
    found = hashlib.sha256(str(len(data)).encode())
    for index in range(min(4, len(data))):
        for part in data[index]:
            found.update(part.cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def _eight_bits(pictures: Tensor) -> Tensor:
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).byte()


@lru_cache(maxsize=4)
def _order(count: int, time: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=random_numbers(seed, -1 - time))
