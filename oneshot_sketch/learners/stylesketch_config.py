"""Settings of StyleSketch's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oneshot_sketch.errors import InputError
from oneshot_sketch.learners.checks import check_settings
from oneshot_sketch.models.stylesketch_layers import Norm


@dataclass(frozen=True, kw_only=True)
class StyleSketchLearnerConfig:
    """How to train a sketch generator. The defaults are the training script's; see docs/systems/stylesketch.md.

    Attributes:
        steps: updates of the sketch generator, and of the discriminators; 1,600 passes over 16 pairs.
        stage_one: share of the steps with the L1 term, which brings the shapes; stage two, without it, brings the texture.
        batch: pairs a step, at most as many as there are.
        learning_rate, discriminator_learning_rate: of Adam.
        adversarial_weight: of each of the three discriminators' terms: whole picture, hair, face; 0 trains none.
        clip_weight: of 1 − cosine between CLIP's features of drawn and true sketch; 0 needs no CLIP.
        clip_loss: "image" compares the pictures, as the script does; "directional" how both differ from the photo.
        perceptual_weight: of the perceptual term on whole sketches.
        part_weight: of the mean perceptual term on eyes, nose and mouth.
        part_side: of the parts' squares, in parts of the picture's side.
        l1_weight: in stage one.
        r1_gamma: of R1 on the artist's sketches.
        r1_every: steps from one R1 to the next, each counting for as many.
        augment_target, augment_limit, augment_ramp: see `AdaptiveProbability`; limit 0 never augments.
        width: of the sketch generator, see `StyleSketchGenerator`.
        norm: of all trained networks.
        discriminator_width: see `PatchDiscriminator`.
        perceptual: network of the perceptual terms, see `PerceptualFeatures`.
        perceptual_weights: file of its weights; None takes torchvision's.
        perceptual_caffe: whether those read Caffe's input.
        perceptual_side: side pictures have in that network; None leaves them.
        clip: see `load_clip`.
        precision: "bfloat16" computes in it where that is safe; weights stay float32.
        judge_every: steps between points of the learning curve, and between checkpoints in a folder.
        seed: of every random draw.
    """

    steps: int = 6400
    stage_one: float = 0.25
    batch: int = 4
    learning_rate: float = 1.4e-4
    discriminator_learning_rate: float = 1.4e-4
    adversarial_weight: float = 1.0
    clip_weight: float = 120.0
    clip_loss: Literal["image", "directional"] = "image"
    perceptual_weight: float = 1.2
    part_weight: float = 1.2
    part_side: float = 0.25
    l1_weight: float = 80.0
    r1_gamma: float = 10.0
    r1_every: int = 16
    augment_target: float = 0.6
    augment_limit: float = 0.6
    augment_ramp: int = 11_200
    width: int | None = None
    norm: Norm = "batch"
    discriminator_width: int = 32
    perceptual: Literal["vgg16", "squeezenet"] = "vgg16"
    perceptual_weights: str | None = None
    perceptual_caffe: bool = False
    perceptual_side: int | None = 224
    clip: str = "openai/clip-vit-base-patch32"
    precision: Literal["float32", "bfloat16"] = "float32"
    judge_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        rates = ("learning_rate", "discriminator_learning_rate")
        weights = ("adversarial_weight", "clip_weight", "perceptual_weight", "part_weight", "l1_weight")
        check_settings(
            self,
            positive=(*rates, "steps", "batch", "r1_every", "augment_ramp", "judge_every"),
            not_negative=(*weights, "r1_gamma"),
            shares=("stage_one", "augment_target", "augment_limit"),
        )
        if not 0 < self.part_side <= 1:
            raise InputError(f"part_side is {self.part_side}; it must be above 0 and at most 1.")
