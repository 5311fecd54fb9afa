"""Sketch → latents of a StyleGAN (Koley et al. 2023, *Picture that Sketch*, arXiv 2303.11162).

P(w₊ | s) = Π P(w_j | w_<j, s): a recurrent cell gives one latent after the other, coarse to fine, each time looking at the
sketch's features through the latent before. Only the first latents are predicted; what follows decides colour and texture and
comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.models.image_trunk import Backbone, ImageTrunk
from oneshot_sketch.models.inversion_encoder import StyleHead

PREDICTED = 10 / 14  # the paper's share of latents that the sketch decides


class _Mapper(ModelMixin, ConfigMixin):
    """What both mappers share: a trunk, and offsets from the generator's mean w."""

    w_avg: Tensor

    def _begin(self, trunk: ImageTrunk, num_ws: int, w_dim: int, max_predicted: int) -> None:
        if not 1 <= max_predicted <= num_ws:
            raise ValueError(f"max_predicted is {max_predicted}; the generator has {num_ws} latents.")
        self.trunk, self.max_predicted = trunk, max_predicted
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def _count(self, num_latents: int | None) -> int:
        count = self.max_predicted if num_latents is None else num_latents
        if not 1 <= count <= self.max_predicted:
            raise ValueError(f"num_latents is {count}; this mapper predicts 1 to {self.max_predicted}.")
        return count


class SketchMapper(_Mapper):
    """The autoregressive mapper: h₀ = tanh(W v), w_j = w̄ + W_o h_j, h_j = GRU(h_{j−1}; η(f ⊙ w_{j−1}) + e_j).

    f are the trunk's features with w_dim channels, v their raw kind averaged, η two strided convolutions and an average, e_j
    learned. It serves as teacher too, from photos and with all latents predicted.

    Args:
        num_ws, w_dim: of the generator.
        max_predicted: latents it gives at most, from the coarsest.
        backbone, widths, units: see `ImageTrunk`.
        input_size: side at which sketches are looked at; others are resized.
        hidden: units of the recurrent cells.
        recurrent_layers: cells on top of each other.
        step_embedding: whether there is e_j.
        first: what stands for w₀.
        pooled: v are averages over a grid of so many by so many cells; the paper's is one, a finer one keeps where things are.
    """

    @register_to_config
    def __init__(
        self,
        num_ws: int = 14,
        w_dim: int = 512,
        max_predicted: int = 10,
        backbone: Backbone = "resnet50",
        input_size: int = 256,
        widths: Sequence[int] = (48, 96, 192),
        units: int = 2,
        hidden: int = 512,
        recurrent_layers: int = 1,
        step_embedding: bool = True,
        first: Literal["zero", "w_avg"] = "zero",
        pooled: int = 1,
    ) -> None:
        super().__init__()
        if recurrent_layers < 1 or pooled < 1:
            raise ValueError(f"recurrent_layers is {recurrent_layers} and pooled {pooled}; both must be at least 1.")
        if first not in ("zero", "w_avg"):
            raise ValueError(f"first is {first!r}; give zero or w_avg.")
        trunk = ImageTrunk(backbone, input_size, widths, units)
        self._begin(trunk, num_ws, w_dim, max_predicted)
        self.start = nn.Linear(trunk.channels * pooled**2, hidden)
        self.project = nn.Conv2d(trunk.channels, w_dim, 1)
        self.look = nn.Sequential(
            nn.Conv2d(w_dim, w_dim, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(w_dim, hidden, 3, 2, 1), nn.LeakyReLU(0.2)
        )
        self.cells = nn.ModuleList(nn.GRUCell(hidden, hidden) for _ in range(recurrent_layers))
        self.steps = nn.Parameter(torch.randn(max_predicted, hidden) * 0.1) if step_embedding else None
        self.offset = nn.Linear(hidden, w_dim)
        nn.init.normal_(self.offset.weight, std=1e-3)
        nn.init.zeros_(self.offset.bias)

    def forward(self, sketch: Tensor, num_latents: int | None = None) -> Tensor:
        """
        Args:
            sketch: (B, 1 or 3, h, w) in [-1, 1], ink dark.
            num_latents: only the first so many; what they are does not depend on how many follow. None gives all.

        Returns:
            ws (B, num_latents, w_dim).
        """
        raw = self.trunk(sketch)
        features = self.project(raw)
        hidden = [self.start(F.adaptive_avg_pool2d(raw, self.config["pooled"]).flatten(1)).tanh()] * len(self.cells)
        w = self.w_avg.expand(len(sketch), -1)
        if self.config["first"] == "zero":
            w = torch.zeros_like(w)
        ws = []
        for step in range(self._count(num_latents)):
            x = self.look(features * w[:, :, None, None]).mean((2, 3))
            if self.steps is not None:
                x = x + self.steps[step]
            for layer, cell in enumerate(self.cells):
                x = hidden[layer] = cell(x, hidden[layer])
            w = self.w_avg + self.offset(x)
            ws.append(w)
        return torch.stack(ws, 1)


class ParallelMapper(_Mapper):
    """Every latent by a head of its own, none knowing of another: the control, and the teacher as the paper's figure draws it.

    Args: as of `SketchMapper`.
    """

    @register_to_config
    def __init__(
        self,
        num_ws: int = 14,
        w_dim: int = 512,
        max_predicted: int = 10,
        backbone: Backbone = "resnet50",
        input_size: int = 256,
        widths: Sequence[int] = (48, 96, 192),
        units: int = 2,
    ) -> None:
        super().__init__()
        trunk = ImageTrunk(backbone, input_size, widths, units)
        self._begin(trunk, num_ws, w_dim, max_predicted)
        self.heads = nn.ModuleList(StyleHead(trunk.channels, w_dim, input_size // trunk.stride) for _ in range(max_predicted))

    def forward(self, sketch: Tensor, num_latents: int | None = None) -> Tensor:
        """As `SketchMapper.forward`."""
        features = self.trunk(sketch)
        return self.w_avg + torch.stack([head(features) for head in self.heads[: self._count(num_latents)]], 1)


def predicted_latents(num_ws: int) -> int:
    """How many latents of a generator a sketch decides: the paper's share, 10 of 14; 7 of 10, 9 of 12, 13 of 18."""
    return round(num_ws * PREDICTED)


def filled(predicted: Tensor, tail: Tensor, counts: Tensor | None = None) -> Tensor:
    """Predicted latents first, and the tail's for every position after them.

    Args:
        predicted: (B, m, w_dim).
        tail: (B, num_ws, w_dim), of which the first m are not looked at.
        counts: (B,) int64, at most m: how many predicted ones each row keeps; None is all.

    Returns:
        (B, num_ws, w_dim).
    """
    m = predicted.shape[1]
    if counts is not None:
        kept = torch.arange(m, device=counts.device) < counts[:, None]
        predicted = torch.where(kept[:, :, None], predicted, tail[:, :m])
    return torch.cat([predicted, tail[:, m:]], 1)
