"""What StyleSketch's training leaves: a sketch generator and the story of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from oneshot_sketch.atomic import replacing_folder
from oneshot_sketch.models.stylesketch import StyleSketchGenerator

FORMAT = 1
RECORD = "record.json"


@dataclass(frozen=True)
class StyleSketchRecord:
    """How a sketch generator was trained.

    Attributes:
        stylegan: `stylegan_fingerprint` of the network whose features it reads.
        perceptual, clip: what compared the sketches, weights included; None where that term was off.
        pairs: names of the pairs.
        inversion_errors: of their photos, as the inversion reports them; empty where the latents were given.
        curve: by name, one number at each judged step; l1 is the mean absolute difference of all pairs, in [0, 1].
        augmentation: the probability it ended with.
    """

    stylegan: str
    config: dict[str, Any]
    pairs: tuple[str, ...]
    steps: int
    curve: dict[str, tuple[float, ...]]
    augmentation: float
    perceptual: str | None = None
    clip: str | None = None
    inversion_errors: tuple[float, ...] = ()
    style: str | None = None
    licence: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class LearnedStyleSketch:
    """The artefact: a trained sketch generator and its record."""

    generator: StyleSketchGenerator
    record: StyleSketchRecord

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and weights, as `StyleSketchGenerator.from_pretrained` reads them, and record.json, or nothing."""
        with replacing_folder(Path(folder)) as part:
            self.generator.save_pretrained(part)
            (part / RECORD).write_text(json.dumps(asdict(self.record), indent=2, ensure_ascii=False) + "\n")
