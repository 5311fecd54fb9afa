"""How an instruction was learned, and the config.json that it travels in."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from oneshot_sketch.errors import InputError

FORMAT_VERSION = 2  # 1 knows no companion
KIND = "oneshot_sketch.LearnedInstruction"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InstructionRecord:
    """How an instruction was learned: everything needed to learn it again, and to refuse the wrong backbone.

    Attributes:
        backbone: id the backbone was loaded by.
        fingerprint: `FrozenInstructPix2Pix.fingerprint` of its weights.
        text: the text the embedding started from.
        config: the learner's configuration.
        seed: of every random draw.
        steps: optimiser steps taken; `best_step` of them are in the embedding.
        losses: figures measured while learning, by name.
        curve: columns of one length: "step", and by name what was measured on the fixed grid at that step.
        drawing: arguments of the pipeline call that suit this instruction.
        pairs: names of the pairs.
        style, licence: of the sketch, as given with the pair.
        versions: of the libraries.
    """

    backbone: str
    fingerprint: str = ""
    text: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 0
    best_step: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)
    curve: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    drawing: Mapping[str, float] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    style: str | None = None
    licence: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, entries: Mapping[str, Any], origin: str) -> InstructionRecord:
        """The record that `dataclasses.asdict` and JSON made `entries` of; what this version does not know is ignored.

        Args:
            origin: the file, for messages.

        Raises:
            InputError: an entry is missing or of another kind.
        """
        known = {f.name for f in fields(cls)}
        if extra := sorted(set(entries) - known):
            logger.warning("%s has entries this version does not know, ignored: %s", origin, ", ".join(extra))
        kept = {key: value for key, value in entries.items() if key in known}
        if wrong := sorted(key for key, value in kept.items() if not _fits(key, value)):
            raise InputError(f"{origin} has an unusable {wrong[0]} in its record; save or download the instruction again.")
        if "pairs" in kept:
            kept["pairs"] = tuple(kept["pairs"])
        if "curve" in kept:
            kept["curve"] = {name: tuple(column) for name, column in kept["curve"].items()}
        return cls(**kept)


def read_config(path: Path, origin: str) -> dict[str, Any]:
    """Parsed and checked config.json of an instruction: its record an `InstructionRecord`, "companion" its rank or 0.

    Args:
        origin: what to call it in messages.

    Raises:
        InputError: not JSON, of something else, incomplete, or of a newer format.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{origin} is not readable JSON; save or download the instruction again.") from None
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise InputError(f"{origin} does not describe a learned instruction; check the name.")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise InputError(f"{origin} lacks its format_version; save or download the instruction again.")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{origin} has format {version}, newer than this library reads ({FORMAT_VERSION}); upgrade oneshot-sketch."
        )
    rows, shape, record = config.get("rows"), config.get("shape"), config.get("record")
    if not (_integers(rows, 2) and _integers(shape, 2) and isinstance(record, dict) and "backbone" in record):
        raise InputError(f"{origin} lacks its rows, shape or record; save or download the instruction again.")
    companion = config.get("companion")
    rank = 0 if companion is None else companion.get("rank") if isinstance(companion, dict) else None
    if type(rank) is not int or (companion is not None and rank < 1):
        raise InputError(f"{origin} has an unusable companion; save or download the instruction again.")
    return {**config, "record": InstructionRecord.from_json(record, origin), "companion": rank}


def _fits(key: str, value: Any) -> bool:
    """Whether an entry of a record, as JSON, is of its kind."""
    if key in ("seed", "steps", "best_step"):
        return type(value) is int
    if key in ("style", "licence"):
        return value is None or isinstance(value, str)
    if key == "pairs":
        return isinstance(value, list) and all(isinstance(name, str) for name in value)
    if key == "losses":
        return isinstance(value, dict) and all(type(v) is float for v in value.values())
    if key == "curve":
        return _is_table(value)
    if key == "drawing":
        return isinstance(value, dict) and all(type(v) in (int, float) and abs(v) < 1e9 for v in value.values())
    return isinstance(value, dict if key in ("config", "versions") else str)


def _is_table(value: Any) -> bool:
    """Columns of numbers, "step" among them, all of one length; or nothing at all."""
    if value == {}:
        return True
    if not isinstance(value, dict) or "step" not in value or not all(isinstance(column, list) for column in value.values()):
        return False
    numbers = [number for column in value.values() for number in column]
    plain = all(type(n) is float or (type(n) is int and abs(n) < 1e9) for n in numbers)
    return plain and len({len(column) for column in value.values()}) == 1


def _integers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(v) is int for v in value)
