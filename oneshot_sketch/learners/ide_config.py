"""Settings of learning IDE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checks import check_settings


@dataclass(frozen=True, kw_only=True)
class IDELearnerConfig:
    """How to learn both stages of IDE; the defaults are the paper's and its code's.

    Attributes:
        size: width and height of stage one; None takes the first pair's.
        field: settings of stage one, see `PatchField`.
        coarse_scale: stage two starts from the coarse sketch resized by this and doubles it. 1 is the paper's; 0.5 gives
            fine sketches of stage one's own size, for artists' sketches that hold no more detail.
        channels, num_fams, reduction, head_kernel: of `MLANet`.
        discriminator: "modified_vgg" is the published code's, "srgan" the paper's figure's.
        discriminator_channels: of its first layer.
        pixel_weight, perceptual_weight, adversarial_weight: of the generator's loss.
        steps: of the generator, each followed by one of the discriminator.
        learning_rate: of both Adams, β 0.9 and 0.999.
        milestones: steps at which the rate is halved.
        batch: crops a step.
        crop: their side in the fine sketch.
        flip, vertical_flip, transpose: how often crops are turned so. The code does all three half the time.
        precision: of the networks' passes; weights and losses stay in float32.
        save_every: steps between checkpoints.
        seed: of every random draw.
    """

    size: tuple[int, int] | None = None
    field: Mapping[str, Any] = field(default_factory=dict)
    coarse_scale: float = 1.0
    channels: int = 64
    num_fams: int = 8
    reduction: int = 4
    head_kernel: int = 3
    discriminator: Literal["modified_vgg", "srgan"] = "modified_vgg"
    discriminator_channels: int = 64
    pixel_weight: float = 1e-2
    perceptual_weight: float = 1.0
    adversarial_weight: float = 5e-3
    steps: int = 300_000
    learning_rate: float = 1e-4
    milestones: tuple[int, ...] = (50_000, 100_000, 200_000, 300_000)
    batch: int = 20
    crop: int = 128
    flip: float = 0.5
    vertical_flip: float = 0.0
    transpose: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    save_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            allowed = {int: int, float: int | float}.get(kind)
            if allowed and not isinstance(getattr(self, name), allowed):
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be a {'whole ' if kind is int else ''}number.")
        sizes = ("coarse_scale", "channels", "num_fams", "reduction", "head_kernel", "discriminator_channels")
        check_settings(
            self,
            positive=(*sizes, "steps", "learning_rate", "batch", "crop", "save_every"),
            not_negative=("pixel_weight", "perceptual_weight", "adversarial_weight"),
            shares=("flip", "vertical_flip", "transpose"),
        )
        if self.pixel_weight + self.perceptual_weight + self.adversarial_weight == 0:
            raise InputError("all weights of the loss are 0; give at least one of them.")
        if self.crop % 32 or self.channels % self.reduction or self.head_kernel % 2 == 0:
            raise InputError("crop must be a multiple of 32, channels one of reduction, and head_kernel odd; change them.")
        if self.size is not None and min(self.size) < 32:
            raise InputError(f"size is {self.size[0]}×{self.size[1]}; both must be at least 32 pixels.")
