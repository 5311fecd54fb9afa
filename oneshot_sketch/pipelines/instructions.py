"""A pipeline's learned instructions, by name."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from oneshot_sketch.adapters import CompanionLayers
from oneshot_sketch.backbone import PREDECESSORS, fingerprint
from oneshot_sketch.companion import Companion
from oneshot_sketch.errors import InputError
from oneshot_sketch.learned_instruction import LearnedInstruction

logger = logging.getLogger(__name__)


class LoadedInstructions:
    """The part of a pipeline that keeps instructions. Not components: saving and moving the pipeline leave them alone."""

    unet: Any
    text_encoder: Any
    tokenizer: Any

    @property
    def instructions(self) -> dict[str, LearnedInstruction]:
        """The loaded instructions by name."""
        return self.__dict__.setdefault("_instructions", {})

    @property
    def instruction(self) -> LearnedInstruction | None:
        """The one that draws: the active one, or the blend of the active ones."""
        active: list[tuple[str, float]] = self.__dict__.get("_active", [])
        if not active:
            return None
        (name, total), *others = active
        mixed = self.instructions[name]
        for name, weight in others:
            total += weight
            mixed = mixed.blend(self.instructions[name], weight / total)
        return mixed

    def load_instruction(
        self,
        instruction: LearnedInstruction | str | Path,
        name: str | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load an instruction and draw by it.

        Args:
            instruction: a folder, a Hub id or the object itself.
            name: to call it by, default the folder's or repository's last part, or "default".
            revision, token, cache_dir, local_files_only: of `LearnedInstruction.from_pretrained`, for a Hub id.

        Raises:
            InputError: not an instruction, or one learned on another backbone.
        """
        if not isinstance(instruction, LearnedInstruction):
            name = name or Path(str(instruction)).name
            instruction = LearnedInstruction.from_pretrained(
                instruction, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
            )
        self._check_fit(instruction)
        name = name or "default"
        self.instructions[name] = instruction
        self.set_instruction(name)
        return self

    def set_instruction(self, names: str | Sequence[str], weights: Sequence[float] | None = None) -> None:
        """Draw by one loaded instruction, or by several blended with `weights` (default equal)."""
        names = [names] if isinstance(names, str) else list(names)
        weights = [1.0] * len(names) if weights is None else list(weights)
        if missing := [name for name in names if name not in self.instructions]:
            raise InputError(f"no instruction {missing[0]!r} is loaded; loaded are: {', '.join(self.instructions) or 'none'}.")
        if len(weights) != len(names) or not all(0 <= w < math.inf for w in weights) or not any(weights):
            raise InputError("instructions need one finite weight each, not negative and not all zero.")
        self._active = [(n, w) for n, w in zip(names, weights, strict=True) if w > 0]

    def unload_instruction(self, name: str | None = None) -> None:
        """Forget one instruction, or all; without any, the pipeline is as it was loaded."""
        if name is not None and name not in self.instructions:
            raise InputError(f"no instruction {name!r} is loaded; loaded are: {', '.join(self.instructions) or 'none'}.")
        for gone in [name] if name is not None else list(self.instructions):
            del self.instructions[gone]
        self._active = [(n, w) for n, w in self.__dict__.get("_active", []) if n in self.instructions]
        self.__dict__.pop("_companion_layers", None)

    @contextmanager
    def _joined(self, companion: Companion | None, scale: float) -> Iterator[None]:
        """While inside, a companion works in the UNet; outside, nothing of it is there."""
        if companion is None or scale == 0:
            yield
            return
        known: tuple[Companion, CompanionLayers] | None = self.__dict__.get("_companion_layers")
        if known is None or known[0] is not companion:
            known = self._companion_layers = companion, CompanionLayers(self.unet, companion)
        pipe: Any = self
        with known[1].attached(self.unet, pipe._execution_device, scale):
            yield

    def _check_fit(self, instruction: LearnedInstruction) -> None:
        length, width = instruction.embeddings.shape
        made_for = instruction.record.backbone
        if width != self.text_encoder.config.hidden_size or length != self.tokenizer.model_max_length:
            raise InputError(
                f"the instruction was learned on {made_for} ({length}×{width}) and does not fit this backbone "
                f"({self.tokenizer.model_max_length}×{self.text_encoder.config.hidden_size}); load {made_for}."
            )
        if instruction.companion is not None:
            CompanionLayers(self.unet, instruction.companion)
        learned_on, own = instruction.record.fingerprint, fingerprint(self.unet, self.text_encoder)
        if learned_on in PREDECESSORS.get(own, ()):
            logger.warning("The instruction was learned on an earlier edition of %s; for its best, learn it again.", made_for)
        elif learned_on and learned_on != own:
            raise InputError(f"the instruction was learned on other weights ({made_for}); load that backbone or learn it again.")
