"""Photos → sketches, a batch at a time, and the key that tells one sketch from another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from PIL import Image

from oneshot_sketch.backbone import drawing_defaults, fingerprint
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import MIN_SIDE
from oneshot_sketch.learned_instruction import LearnedInstruction
from oneshot_sketch.pipelines.loading import SettledPipeline, load_backbone
from oneshot_sketch.pipelines.photos import fitted_photos
from oneshot_sketch.pipelines.sketch_prior import FittedPrior, Prior, PriorGuidance, draw_prior, open_prior

METADATA = "oneshot_sketch"  # the text chunk of a sketch's PNG
_KEY_VERSION = 1  # raised when the same settings begin to draw another picture


@dataclass(frozen=True, kw_only=True)
class DrawingSettings(PriorGuidance):
    """What a sketch depends on beside photo, instruction, backbone and prior; names and defaults of the pipeline call.

    Attributes:
        seed: of the run, 0 to 2**32 − 1. Each photo's own seed follows from it and the photo's bytes.
    """

    text: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    image_guidance_scale: float | None = None
    resolution: int | Literal["native", "photo"] = "native"
    seed: int = 0


class Drawing:
    """A loaded backbone that draws by one instruction with one set of settings.

    Args:
        backbone: default the one the instruction was learned on.
        sketch_prior: "mini", a folder or a `SketchPrior`; not loaded where the settings do not use it.
        device: default CUDA where there is one.

    Raises:
        InputError: the backbone, the device, the resolution or the prior is not usable, or the instruction is of another
            backbone.
    """

    def __init__(
        self,
        instruction: LearnedInstruction,
        settings: DrawingSettings,
        *,
        name: str = "default",
        backbone: str | None = None,
        sketch_prior: Prior | str | Path | None = None,
        device: str | None = None,
    ) -> None:
        if settings.uses_prior and sketch_prior is None:
            raise InputError("there is no sketch prior to guide by; name one: --sketch-prior mini, or sketch_prior= in Python.")
        backbone = backbone or instruction.record.backbone
        self.pipe = load_backbone(backbone, device, SettledPipeline).load_instruction(instruction, name=name)
        chosen = {
            "num_inference_steps": settings.num_inference_steps,
            "guidance_scale": settings.guidance_scale,
            "image_guidance_scale": settings.image_guidance_scale,
        }
        defaults = {**drawing_defaults(backbone), **instruction.record.drawing}
        self.call: dict[str, Any] = {key: defaults[key] if value is None else value for key, value in chosen.items()}
        self._about: dict[str, Any] = {"instruction": {name: 1.0}, "text": settings.text}
        self.settings = settings
        self.fit(Image.new("RGB", (4 * MIN_SIDE, 4 * MIN_SIDE)))  # an unusable resolution is no photo's fault
        # Encoded once, not once a batch: a batch on a CPU is a few photos, and the text tower costs a twentieth of one.
        with torch.no_grad():
            self._rows = self.pipe._embeddings(instruction, settings.text, "compact")
            self._negatives = self.pipe._negatives(None, self._rows.shape[1])
        digest = sha256()
        for tensor in (instruction.embeddings, instruction.neutral):
            digest.update(tensor.numpy().tobytes())
        if instruction.companion is not None:
            digest.update(instruction.companion.to_bytes())
        self._companion = instruction.companion
        everything = {
            "version": _KEY_VERSION,
            "instruction": digest.hexdigest(),
            "rows": instruction.rows,
            "backbone": fingerprint(self.pipe.unet, self.pipe.text_encoder),
            "resolution": settings.resolution,
            "seed": settings.seed,
            "text": settings.text,
            **{key: float(value) for key, value in self.call.items()},
        }
        self._prior: Prior | None = None
        self._one_at_a_time = Lock()
        if settings.uses_prior and sketch_prior is not None:
            self._prior = open_prior(sketch_prior, self.pipe.device)
            self._about["sketch_prior"] = self._prior.fingerprint
            self.call |= settings.prior_arguments
            everything |= {"sketch_prior": self._prior.fingerprint, **settings.prior_arguments}
        self._recipe = json.dumps(everything, sort_keys=True).encode()

    def key(self, photo: str) -> str:
        """Of the sketch of a photo, by the SHA-256 of its bytes: 64 hex digits."""
        return sha256(self._recipe + photo.encode()).hexdigest()

    def seed(self, photo: str) -> int:
        """Of a photo's noise, 0 to 2**32 − 1: the run's seed and the photo's bytes, and nothing of its neighbours."""
        return int.from_bytes(sha256(f"{self.settings.seed} {photo}".encode()).digest()[:4])

    def fit(self, photo: Image.Image) -> Image.Image:
        """A photo at the size it is drawn in."""
        return fitted_photos(photo, self.settings.resolution, self.pipe.native_resolution)[0]

    def prior(self, photo: Image.Image, size: tuple[int, int]) -> FittedPrior | None:
        """What the prior makes of a photo, at the size it is drawn in; None where the settings use none.

        Photo by photo, so that neighbours do not matter; it may be called from several threads.

        Raises:
            InputError: there is not one face to draw.
        """
        if self._prior is None:
            return None
        with self._one_at_a_time:
            return draw_prior(self._prior, [photo], size)

    def draw(
        self, fitted: Sequence[Image.Image], photos: Sequence[str], size: int, priors: Sequence[FittedPrior | None]
    ) -> list[tuple[Image.Image, dict[str, str]]]:
        """Sketches of fitted photos of one size, each with the text chunks of its PNG.

        Matrix products and convolutions choose their order of summation by the size of the batch, and at odd ones by the
        place in it. So a batch is filled up with its last photo to `size`, and above 1 to an even number: then a sketch is the
        same to the bit whatever its neighbours are, and between sizes it differs by a grey level here and there.

        Args:
            photos: SHA-256 of each photo's bytes.
            size: of a full batch.
            priors: what `prior` made of each.

        Raises:
            InputError: steps or scales are out of range.
        """
        seeds = [self.seed(photo) for photo in photos]
        seen = size + size % 2 if size > 1 else 1
        filled = [*range(len(fitted)), *[len(fitted) - 1] * (seen - len(fitted))]
        with self.pipe._joined(self._companion, 1.0):
            drawn = self.pipe(
                image=[fitted[i] for i in filled],
                resolution="photo",
                generator=[torch.Generator().manual_seed(seeds[i]) for i in filled],
                prompt_embeds=self._rows,
                negative_prompt_embeds=self._negatives,
                prior_sketch=None if self._prior is None else FittedPrior.join([priors[i] for i in filled]),  # type: ignore[misc]
                **self.call,
            )
        sketches = []
        for i, photo in enumerate(photos):
            own = {"seed": seeds[i], "photo": photo, "key": self.key(photo)}
            if (prior := priors[i]) is not None:
                own["inversion_error"] = prior.error.item()
            sketches.append((drawn.images[i], {METADATA: json.dumps({**drawn.settings, **self._about, **own})}))
        return sketches


def record_of(sketch: Path) -> dict[str, Any]:
    """What a sketch carries in its PNG: the settings, "photo", "key"; empty where there is no sketch of ours."""
    try:
        with Image.open(sketch, formats=("PNG",)) as image:
            record = json.loads(image.info[METADATA])
    except (OSError, KeyError, ValueError, TypeError, SyntaxError):
        return {}
    return record if isinstance(record, dict) else {}


def load_instruction(instruction: LearnedInstruction | str | Path) -> tuple[LearnedInstruction, str]:
    """An instruction, and what to call it."""
    if isinstance(instruction, LearnedInstruction):
        return instruction, "default"
    return LearnedInstruction.from_pretrained(instruction), Path(instruction).name
