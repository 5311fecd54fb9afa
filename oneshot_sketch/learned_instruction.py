"""The artefact: a learned instruction of some hundred kilobytes, and what can be done with it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from oneshot_sketch.atomic import replacing_folder
from oneshot_sketch.errors import InputError
from oneshot_sketch.images import save_png
from oneshot_sketch.model_card import model_card

FORMAT_VERSION = 1
WEIGHTS, CONFIG, CARD, PREVIEW = "instruction.safetensors", "config.json", "README.md", "preview.png"
MAX_BYTES = {WEIGHTS: 64 * 2**20, CONFIG: 2**20}

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
    drawing: Mapping[str, float] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    style: str | None = None
    licence: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


class LearnedInstruction:
    """A text-encoder output sequence in which some rows, the `<ins>` rows, were learned.

    Args:
        embeddings: (L, d) float; what the UNet attends to instead of an encoded prompt. The stock
            `StableDiffusionInstructPix2PixPipeline(prompt_embeds=embeddings[None])` draws with it unaided.
        neutral: (L, d) float; the encoding of the empty prompt, origin of `strength`.
        rows: first and one past the last `<ins>` row.
        record: how it was learned.

    Raises:
        InputError: shapes that do not fit, or values that are not finite.
    """

    def __init__(self, embeddings: Tensor, neutral: Tensor, rows: tuple[int, int], record: InstructionRecord) -> None:
        if embeddings.ndim != 2 or embeddings.shape != neutral.shape:
            raise InputError(
                f"an instruction needs embeddings and neutral of one shape (L, d), not {tuple(embeddings.shape)} and "
                f"{tuple(neutral.shape)}."
            )
        start, stop = rows
        if not 1 <= start < stop <= len(embeddings):
            raise InputError(f"<ins> rows {start}…{stop} do not lie in an instruction of {len(embeddings)} rows.")
        kept = {"dtype": torch.float32, "copy": True, "memory_format": torch.contiguous_format}
        self.embeddings, self.neutral = embeddings.detach().to("cpu", **kept), neutral.detach().to("cpu", **kept)
        if not (self.embeddings.isfinite().all() and self.neutral.isfinite().all()):
            raise InputError("the instruction holds NaN or infinite values; learn it again.")
        self.rows = (start, stop)
        self.record = record

    def __repr__(self) -> str:
        length, width = self.embeddings.shape
        return f"LearnedInstruction({length}×{width}, <ins> rows {self.rows[0]}–{self.rows[1] - 1}, for {self.record.backbone})"

    # ── composing ──

    def strength(self, scale: float) -> LearnedInstruction:
        """neutral + scale · (embeddings − neutral): 0 asks for nothing, 1 is the instruction, above 1 exaggerates."""
        return self._with(torch.lerp(self.neutral, self.embeddings, scale))  # to the bit at 0 and 1, unlike the sum

    def blend(self, other: LearnedInstruction, weight: float = 0.5) -> LearnedInstruction:
        """(1 − weight) · self + weight · other, for instructions of one backbone.

        Raises:
            InputError: they were learned on different backbones.
        """
        if self.embeddings.shape != other.embeddings.shape or self.record.fingerprint != other.record.fingerprint:
            raise InputError(
                f"instructions for {self.record.backbone} and {other.record.backbone} cannot be blended; "
                "learn both on one backbone."
            )
        rows = (min(self.rows[0], other.rows[0]), max(self.rows[1], other.rows[1]))
        mixed = LearnedInstruction(torch.lerp(self.embeddings, other.embeddings, weight), self.neutral, rows, self.record)
        mixed.record = replace(self.record, pairs=self.record.pairs + other.record.pairs)
        return mixed

    def with_text(self, text_rows: Tensor, end: int, layout: Literal["compact", "visii"] = "compact") -> Tensor:
        """The hybrid instruction `<ins> + <optional>` (Eq. 7) in embedding space; nothing is encoded again.

        compact: BOS, `<ins>`, content of the text, its EOS, its padding.
        visii: BOS, `<ins>`, EOS, one padding row, BOS and content of the text, the learned padding (as VISII's
            `test_concatenate` lays it out).

        Args:
            text_rows: (L, d), the text's own encoding, BOS first.
            end: index of its EOS row.

        Returns:
            (L, d) float32. A text that does not fit loses its last tokens, with a warning.
        """
        length = len(self.embeddings)
        stop = self.rows[1]
        first = stop if layout == "compact" else stop + 2
        text = text_rows.float().cpu()[(1 if layout == "compact" else 0) : end]
        room = max(0, length - first - (1 if layout == "compact" else 0))
        if len(text) > room:
            logger.warning("The text is %d tokens too long beside the instruction; its end is dropped.", len(text) - room)
            text = text[:room]
        out = self.embeddings.clone()
        out[first : first + len(text)] = text
        if layout == "compact" and first + len(text) < length:
            after = first + len(text)
            out[after] = text_rows[end].float().cpu()
            padding = length - after - 1
            if padding:
                out[after + 1 :] = text_rows[-padding:].float().cpu()
        return out

    def _with(self, embeddings: Tensor) -> LearnedInstruction:
        return LearnedInstruction(embeddings, self.neutral, self.rows, self.record)

    # ── saving and loading ──

    def save_pretrained(self, directory: str | Path, *, preview: Image.Image | None = None) -> None:
        """Write the instruction as a folder: weights (safetensors), config.json, a card and a preview.

        The folder appears whole or not at all. A README.md that is already there is kept.

        Raises:
            InputError: the place is not writable or the disk is full.
        """
        directory = Path(directory)
        if directory.is_file():
            raise InputError(f"{directory} is a file; give the name of a folder for the instruction.")
        with replacing_folder(directory) as part:
            (part / WEIGHTS).write_bytes(save({"embeddings": self.embeddings, "neutral": self.neutral}, {"format": "pt"}))
            (part / CONFIG).write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            if not (directory / CARD).exists():
                card = model_card(directory.name, asdict(self.record), has_preview=preview is not None)
                (part / CARD).write_text(card, encoding="utf-8")
            if preview is not None:
                save_png(preview, part / PREVIEW)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "oneshot_sketch.LearnedInstruction",
            "format_version": FORMAT_VERSION,
            "shape": list(self.embeddings.shape),
            "rows": list(self.rows),
            "record": asdict(self.record),
        }

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> LearnedInstruction:
        """Load a folder written by `save_pretrained`, or the same files from a Hub repository.

        Raises:
            InputError: nothing there, not an instruction, damaged, or written by a newer version of this library.
        """
        folder = Path(path_or_repo)
        if os.path.isdir(folder):
            files = {name: folder / name for name in (CONFIG, WEIGHTS)}
        elif os.path.exists(folder):
            raise InputError(f"{folder} is a file; give the folder that holds {WEIGHTS}.")
        else:
            files = _download(str(path_or_repo), revision, token, cache_dir, local_files_only)
        for name, path in files.items():
            if not path.is_file():
                raise InputError(f"{path_or_repo} holds no {name}, so it is not a learned instruction; check the path.")
            if path.stat().st_size > MAX_BYTES[name]:
                raise InputError(f"{path} is larger than {MAX_BYTES[name] >> 20} MiB, so it is not a learned instruction.")
        config = _read_config(files[CONFIG])
        try:
            tensors = load(files[WEIGHTS].read_bytes())
            embeddings, neutral = tensors["embeddings"], tensors["neutral"]
        except (SafetensorError, KeyError, OSError) as error:
            raise InputError(f"{files[WEIGHTS]} is damaged or not an instruction ({error}); save or download it again.") from None
        if list(embeddings.shape) != config["shape"] or {embeddings.dtype, neutral.dtype} != {torch.float32}:
            raise InputError(f"{files[WEIGHTS]} does not match its {CONFIG}; save or download both again.")
        return cls(embeddings, neutral, tuple(config["rows"]), config["record"])

    @classmethod
    def from_visii(cls, path: str | Path, backbone: str = "timbrooks/instruct-pix2pix", rows: int = 10) -> LearnedInstruction:
        """Import a `prompt_embeds_*.pt` of VISII: a (3, 77, 768) tensor, read with `weights_only=True`.

        Args:
            rows: how many content tokens VISII optimised (the file does not say; its PEZ prompts have 10).

        Raises:
            InputError: missing, not a tensor file, or of another shape.
        """
        try:
            tensor = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise InputError(f"{path} does not exist; check the path.") from None
        except Exception as error:
            reason = str(error).split("\n")[0]
            raise InputError(f"{path} is not a plain tensor file and was not loaded ({reason}).") from None
        plain = isinstance(tensor, Tensor) and tensor.layout is torch.strided and tensor.is_floating_point()
        if not plain or tensor.ndim != 3 or tensor.shape[0] not in (2, 3):
            raise InputError(f"{path} does not hold VISII's (3, L, d) prompt embeddings; give its prompt_embeds_*.pt.")
        return cls(tensor[0], tensor[1], (1, 1 + rows), InstructionRecord(backbone=backbone, config={"imported_from": "VISII"}))


def _download(
    repo: str, revision: str | None, token: str | bool | None, cache: str | Path | None, local: bool
) -> dict[str, Path]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return {
            name: Path(hf_hub_download(repo, name, revision=revision, token=token, cache_dir=cache, local_files_only=local))
            for name in (CONFIG, WEIGHTS)
        }
    except HFValidationError:
        raise InputError(f"{repo} is neither a folder nor a Hub repository; check the path.") from None
    except Exception as error:  # the Hub's errors have no common ancestor
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{repo} is no local folder and could not be fetched from the Hub ({reason}).") from None


def _read_config(path: Path) -> dict[str, Any]:
    """Parsed and checked config.json, its record as an `InstructionRecord`."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{path} is not readable JSON; save or download the instruction again.") from None
    if not isinstance(config, dict) or config.get("kind") != "oneshot_sketch.LearnedInstruction":
        raise InputError(f"{path} does not describe a learned instruction; check the path.")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise InputError(f"{path} lacks its format_version; save or download the instruction again.")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} has format {version}, newer than this library reads ({FORMAT_VERSION}); upgrade oneshot-sketch."
        )
    rows, shape, record = config.get("rows"), config.get("shape"), config.get("record")
    if not (_integers(rows, 2) and _integers(shape, 2) and isinstance(record, dict) and "backbone" in record):
        raise InputError(f"{path} lacks its rows, shape or record; save or download the instruction again.")
    known = {f.name for f in fields(InstructionRecord)}
    if extra := sorted(set(record) - known):
        logger.warning("%s has entries this version does not know, ignored: %s", path, ", ".join(extra))
    if wrong := sorted(key for key, value in record.items() if key in known and not _fits(key, value)):
        raise InputError(f"{path} has an unusable {wrong[0]} in its record; save or download the instruction again.")
    kept: dict[str, Any] = {key: tuple(value) if key == "pairs" else value for key, value in record.items() if key in known}
    return {**config, "record": InstructionRecord(**kept)}


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
    if key == "drawing":
        return isinstance(value, dict) and all(type(v) in (int, float) and abs(v) < 1e9 for v in value.values())
    return isinstance(value, dict if key in ("config", "versions") else str)


def _integers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(v) is int for v in value)
