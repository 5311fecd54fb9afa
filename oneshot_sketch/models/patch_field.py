"""Stage one of IDE: a photo's sketch out of patches of the training sketches, joined by a Markov weight field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.models.representations import REPRESENTATIONS, represent
from oneshot_sketch.models.weight_field import WeightField, solve

POOL_CHUNK = 16  # training photos compared at a time, for memory's sake


class PatchField(ModelMixin, ConfigMixin):
    """Markov weight field (Zhou, Kuang & Wong 2012); with several representations, that of MrFSPS (Peng et al. 2015).

    Its weights are the training pairs themselves, as bytes: build it with `fit`. Runs on the CPU and on CUDA.

    Args:
        num_pairs, height, width: of the training pairs.
        patch: side of a patch in pixels.
        step: from one patch to the next, below `patch`.
        candidates: K, how many patches a node mixes.
        search: a patch is compared with those at most so many pixels away, in every training photo.
        one_per_photo: take at most one candidate from a training photo.
        mirror: the mirrored pairs are candidates too.
        own_radius: with a single pair that is left out of its own pool, only patches at most so far away are left out.
        alpha, beta: weights of likeness to the photo and of agreement between neighbours.
        representations: of the photo, see `REPRESENTATIONS`; several are weighed patch by patch.
        spread: with several, λ of ‖μ‖²: larger trusts them more equally. In grey levels of [0, 1], squared, of a patch.
        sweeps, outer: of `solve`.

    Raises:
        InputError: settings that make no sense, or that leave a patch fewer candidates than K.
    """

    photos: Tensor
    sketches: Tensor

    @register_to_config
    def __init__(
        self,
        num_pairs: int,
        height: int = 250,
        width: int = 200,
        patch: int = 10,
        step: int = 5,
        candidates: int = 10,
        search: int = 5,
        one_per_photo: bool = False,
        mirror: bool = False,
        own_radius: int = 3,
        alpha: float = 1.0,
        beta: float = 0.5,
        representations: tuple[str, ...] = ("grey",),
        spread: float = 0.1,
        sweeps: int = 30,
        outer: int = 5,
    ) -> None:
        super().__init__()
        self._check(representations)
        for name in ("photos", "sketches"):
            self.register_buffer(name, torch.zeros(num_pairs, 1, height, width, dtype=torch.uint8))

    @classmethod
    def fit(cls, photos: Sequence[Image.Image], sketches: Sequence[Image.Image], **settings: Any) -> PatchField:
        """A field over aligned pairs of one size; `settings` as for the constructor.

        Raises:
            InputError: no pairs, pictures of several sizes, or bad settings.
        """
        sizes = {image.size for image in (*photos, *sketches)}
        if len(sizes) != 1 or len(photos) != len(sketches):
            shown = ", ".join(sorted(f"{w}×{h}" for w, h in sizes)) or "none"
            raise InputError(f"a patch field needs pairs of one size, not {shown}; resize them to one frame.")
        (width, height), known = sizes.pop(), cls.__init__.__wrapped__.__code__.co_varnames  # type: ignore[attr-defined]
        if unknown := sorted(set(settings) - set(known)):
            raise InputError(f"{unknown[0]!r} is no setting of a patch field; see PatchField.")
        field = cls(num_pairs=len(photos), height=height, width=width, **settings)
        for buffer, images in ((field.photos, photos), (field.sketches, sketches)):
            for i, image in enumerate(images):
                buffer[i] = ((grey(to_tensor(image))[0] + 1) * 127.5).round().byte()
        return field

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures it draws."""
        return self.config["width"], self.config["height"]

    @torch.no_grad()
    def forward(self, photos: Tensor, leave_out: Sequence[int] | None = None) -> Tensor:
        """Photos (B, 3, H, W) in [-1, 1] of the training pairs' size → grey sketches (B, 1, H, W) in [-1, 1].

        Args:
            leave_out: for each photo the index of a training pair that takes no part, as sketches for stage two need:
                a photo's own pair would give its own sketch.

        Raises:
            InputError: photos of another size.
        """
        width, height = self.size
        if photos.ndim != 4 or photos.shape[1:] != (3, height, width):
            raise InputError(f"the patch field draws photos (B, 3, {height}, {width}), not {tuple(photos.shape)}; resize them.")
        pool, drawings = self._unit(self.photos), self._unit(self.sketches)
        if self.config["mirror"]:
            pool, drawings = (torch.cat([p, p.flip(-1)]) for p in (pool, drawings))
        names = self.config["representations"]
        pool_features, scale = represent(pool, names)
        unit = self._padded(grey(photos.to(pool)) / 2 + 0.5)
        queries, _ = represent(unit, names, scale)
        left_out = [None] * len(photos) if leave_out is None else leave_out
        drawn = [self._draw(q, pool_features, drawings, left) for q, left in zip(queries, left_out, strict=True)]
        return torch.cat(drawn)[..., :height, :width] * 2 - 1

    def _draw(self, query: Tensor, pool: Tensor, drawings: Tensor, leave_out: int | None) -> Tensor:
        """Query (R, H, W) against pool (N, R, H, W) and its sketches (N, 1, H, W) in [0, 1] → (1, 1, H, W)."""
        config, patch = self.config, self.config["patch"]
        index = self.candidates(query, pool, leave_out)
        x = F.unfold(query[:, None], patch, stride=config["step"]).movedim(1, 2).unflatten(1, index.shape[:2])
        differences = [gather(pool[:, r], index, patch).flatten(3) - x[r, :, :, None] for r in range(len(query))]
        y = gather(drawings[:, 0], index, patch)
        weights = {"alpha": config["alpha"], "beta": config["beta"], "spread": config["spread"]}
        field = WeightField.of(differences, y[:, :, :, None], patch - config["step"], **weights)
        w = solve(field, config["sweeps"], config["outer"]).weights.to(y)
        return blend(torch.einsum("hwk,hwkyx->hwyx", w, y), config["step"])

    def candidates(self, query: Tensor, pool: Tensor, leave_out: int | None = None) -> Tensor:
        """The K nearest patches for every node, nearest first: photo, top and left, (rows, columns, K, 3) int64.

        Args:
            query: representations of the photo (R, H, W).
            pool: those of the training photos (N, R, H, W).
            leave_out: a training pair that takes no part.
        """
        config = self.config
        patch, step, s, k = config["patch"], config["step"], config["search"], config["candidates"]
        height, width = query.shape[-2:]
        offsets = torch.cartesian_prod(torch.arange(-s, s + 1), torch.arange(-s, s + 1)).to(query.device)
        nearest: list[Tensor] = []
        origins: list[Tensor] = []  # number of photo and offset, as photo · offsets + offset
        for start in range(0, len(pool), POOL_CHUNK):
            chunk = pool[start : start + POOL_CHUNK]
            padded = F.pad(chunk, (s, s, s, s), value=torch.inf)  # what reaches beyond a photo is infinitely far
            far = []
            for top in range(2 * s + 1):
                for left in range(2 * s + 1):
                    error = (padded[..., top : top + height, left : left + width] - query).square_()
                    far.append(F.avg_pool2d(error, patch, step).sum(1))
            distance = torch.stack(far, 1)  # (n, offsets, rows, columns)
            if leave_out is not None:
                self._leave_out(distance, start, leave_out, offsets, len(pool))
            places = torch.arange(len(chunk) * len(offsets), device=query.device) + start * len(offsets)
            origin = places.view(len(chunk), len(offsets), 1, 1).expand_as(distance)
            if config["one_per_photo"]:
                distance, best = distance.min(1, keepdim=True)
                origin = origin.gather(1, best)
            found = distance.flatten(0, 1)
            found, order = found.topk(min(k, len(found)), dim=0, largest=False)
            nearest.append(found)
            origins.append(origin.flatten(0, 1).gather(0, order))
        _, order = torch.cat(nearest).topk(k, dim=0, largest=False)
        origin = torch.cat(origins).gather(0, order).movedim(0, -1)  # (rows, columns, K)
        photo, offset = origin // len(offsets), offsets[origin % len(offsets)]
        rows, columns = (torch.arange(n, device=query.device) * step for n in origin.shape[:2])
        return torch.stack([photo, rows[:, None, None] + offset[..., 0], columns[:, None] + offset[..., 1]], -1)

    def _leave_out(self, distance: Tensor, start: int, pair: int, offsets: Tensor, pool: int) -> None:
        pairs = self.config["num_pairs"]
        if pairs == 1:
            near = (offsets.abs() <= self.config["own_radius"]).all(1)
            if start == 0:
                distance[0, near] = torch.inf
            return
        for photo in range(pair, pool, pairs):  # itself and its mirror image
            if start <= photo < start + len(distance):
                distance[photo - start] = torch.inf

    def _unit(self, pictures: Tensor) -> Tensor:
        return self._padded(pictures.float() / 255)

    def _padded(self, pictures: Tensor) -> Tensor:
        """Edges repeated to the right and below until the grid of patches reaches them."""
        patch, step = self.config["patch"], self.config["step"]
        missing = [-(side - patch) % step for side in pictures.shape[-2:]]
        return F.pad(pictures, (0, missing[1], 0, missing[0]), mode="replicate")

    def _check(self, representations: Sequence[str]) -> None:
        c = self.config
        for least, names in ((1, ("num_pairs", "patch", "step", "candidates", "sweeps", "outer")), (0, ("search", "own_radius"))):
            for name in names:
                if not isinstance(c[name], int) or c[name] < least:
                    raise InputError(f"{name} is {c[name]!r}; it must be a whole number, {least} or more.")
        for name in ("alpha", "beta", "spread"):
            if not isinstance(c[name], int | float) or not 0 <= c[name] < float("inf"):
                raise InputError(f"{name} is {c[name]!r}; it must be a number and not negative.")
        if not c["step"] < c["patch"] <= min(c["height"], c["width"]):
            sides = f"{c['width']}×{c['height']}"
            raise InputError(f"patch is {c['patch']}; it must be above step ({c['step']}) and fit into {sides} pixels.")
        if unknown := [name for name in representations if name not in REPRESENTATIONS]:
            raise InputError(f"there is no representation {unknown[0]!r}; choose from {', '.join(REPRESENTATIONS)}.")
        if not representations or (len(representations) > 1 and not c["spread"]):
            raise InputError("a patch field needs at least one representation, and a spread above 0 to weigh several.")
        corner = 1  # candidates of a patch in a corner, in one photo
        for side in (c["height"], c["width"]):
            corner *= min(c["search"], side - c["patch"]) + 1
        there = c["num_pairs"] * (1 + c["mirror"]) * (1 if c["one_per_photo"] else corner)
        if there < c["candidates"]:
            raise InputError(
                f"a corner patch finds {there} candidates, fewer than {c['candidates']}; lower candidates or raise search."
            )


def gather(pictures: Tensor, index: Tensor, patch: int) -> Tensor:
    """Patches of pictures (N, H, W) at photo, top and left (…, 3) → (…, patch, patch)."""
    height, width = pictures.shape[-2:]
    inside = torch.arange(patch, device=index.device)
    corner = (index[..., 0] * height + index[..., 1]) * width + index[..., 2]
    return pictures.flatten()[corner[..., None, None] + inside[:, None] * width + inside]


def blend(patches: Tensor, step: int) -> Tensor:
    """Patches (rows, columns, p, p) laid `step` apart, overlaps averaged → (1, 1, H, W)."""
    rows, columns, patch = patches.shape[:3]
    size = (rows - 1) * step + patch, (columns - 1) * step + patch
    flat = patches.reshape(1, rows * columns, patch * patch).mT
    count = F.fold(torch.ones_like(flat), size, patch, stride=step)
    return F.fold(flat, size, patch, stride=step) / count
