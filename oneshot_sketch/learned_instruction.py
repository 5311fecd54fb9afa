"""The artefact: a learned instruction of some hundred kilobytes, and what can be done with it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from huggingface_hub import CommitInfo, ModelCard, ModelHubMixin
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from oneshot_sketch.atomic import replacing_folder
from oneshot_sketch.companion import Companion
from oneshot_sketch.errors import InputError
from oneshot_sketch.hub import Repository, download
from oneshot_sketch.images import open_image, save_png
from oneshot_sketch.instruction_record import FORMAT_VERSION, KIND, InstructionRecord, read_config
from oneshot_sketch.model_card import CARD, PREVIEW, SKETCHES, has_licence, is_by_hand, is_on_the_hub, merged_card, model_card

WEIGHTS, CONFIG, COMPANION = "instruction.safetensors", "config.json", "companion.safetensors"
MAX_BYTES = {CONFIG: 2**20, WEIGHTS: 64 * 2**20, COMPANION: 64 * 2**20}

logger = logging.getLogger(__name__)


class LearnedInstruction(ModelHubMixin):
    """A text-encoder output sequence in which some rows, the `<ins>` rows, were learned.

    Args:
        embeddings: (L, d) float; what the UNet attends to instead of an encoded prompt. The stock
            `StableDiffusionInstructPix2PixPipeline(prompt_embeds=embeddings[None])` draws with it unaided.
        neutral: (L, d) float; the encoding of the empty prompt, origin of `strength`.
        rows: first and one past the last `<ins>` row.
        record: how it was learned.
        companion: learned with it, for finer texture; None for most. The stock pipeline takes it by
            `load_lora_weights(folder, weight_name="companion.safetensors")`.

    Attributes:
        preview: the pair and what the instruction draws of its photo, for the card; or None.
        sketches: a strip of what it draws of other photos, for the card; or None.
        card: the README.md where somebody wrote it by hand; None for one made from the record.

    Raises:
        InputError: shapes that do not fit, or values that are not finite.
    """

    def __init__(
        self,
        embeddings: Tensor,
        neutral: Tensor,
        rows: tuple[int, int],
        record: InstructionRecord,
        companion: Companion | None = None,
    ) -> None:
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
        self.companion = companion
        self.preview: Image.Image | None = None
        self.sketches: Image.Image | None = None
        self.card: str | None = None

    def __repr__(self) -> str:
        length, width = self.embeddings.shape
        joined = f", companion of rank {self.companion.rank}" if self.companion else ""
        span = f"<ins> rows {self.rows[0]}–{self.rows[1] - 1}"
        return f"LearnedInstruction({length}×{width}, {span}{joined}, for {self.record.backbone})"

    # ── composing ──

    def strength(self, scale: float) -> LearnedInstruction:
        """neutral + scale · (embeddings − neutral): 0 asks for nothing, 1 is the instruction, above 1 exaggerates.

        A companion is scaled alike.
        """
        embeddings = torch.lerp(self.neutral, self.embeddings, scale)  # to the bit at 0 and 1, unlike the sum
        companion = self.companion and self.companion.scaled(scale)
        return LearnedInstruction(embeddings, self.neutral, self.rows, self.record, companion)

    def blend(self, other: LearnedInstruction, weight: float = 0.5) -> LearnedInstruction:
        """(1 − weight) · self + weight · other, for instructions of one backbone; their companions alike.

        Raises:
            InputError: they were learned on different backbones.
        """
        if self.embeddings.shape != other.embeddings.shape or self.record.fingerprint != other.record.fingerprint:
            raise InputError(
                f"instructions for {self.record.backbone} and {other.record.backbone} cannot be blended; "
                "learn both on one backbone."
            )
        rows = (min(self.rows[0], other.rows[0]), max(self.rows[1], other.rows[1]))
        companions = [one.companion.scaled(w) for one, w in ((self, 1 - weight), (other, weight)) if one.companion]
        return LearnedInstruction(
            torch.lerp(self.embeddings, other.embeddings, weight),
            self.neutral,
            rows,
            replace(self.record, pairs=self.record.pairs + other.record.pairs),
            companions[0].plus(companions[1]) if len(companions) == 2 else next(iter(companions), None),
        )

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

    # ── saving and loading ──

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        preview: Image.Image | None = None,
        sketches: Image.Image | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **push_to_hub_kwargs: Any,
    ) -> CommitInfo | None:
        """Write the instruction as a folder: weights (safetensors), config.json, a card and its pictures.

        The folder appears whole or not at all. A README.md that is already there and was written or changed by hand is kept.

        Args:
            preview, sketches: to keep as the attributes of these names.
            push_to_hub: also push it, as `repo_id` (default the folder's name), with arguments of `push_to_hub`.

        Returns:
            The commit, if pushed.

        Raises:
            InputError: the place is not writable or the disk is full, or the push failed.
        """
        directory = Path(save_directory)
        push = signature(self.push_to_hub).bind(repo_id or directory.name, **push_to_hub_kwargs)
        if directory.is_file():
            raise InputError(f"{directory} is a file; give the name of a folder for the instruction.")
        self.preview, self.sketches = preview or self.preview, sketches or self.sketches
        present = _read_card(directory)
        with replacing_folder(directory) as part:
            self._save_pretrained(part)
            if present is None:
                (part / CARD).write_text(self.card or str(self.generate_model_card(directory.name)), encoding="utf-8", newline="")
        return self.push_to_hub(*push.args, **push.kwargs) if push_to_hub else None

    def _save_pretrained(self, save_directory: Path) -> None:
        tensors = {"embeddings": self.embeddings, "neutral": self.neutral}
        (save_directory / WEIGHTS).write_bytes(save(tensors, {"format": "pt"}))
        if self.companion is not None:
            (save_directory / COMPANION).write_bytes(self.companion.to_bytes())
        config = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        (save_directory / CONFIG).write_text(config + "\n", encoding="utf-8")
        for name, picture in self._pictures().items():
            save_png(picture, save_directory / name)

    def _pictures(self) -> dict[str, Image.Image]:
        return {name: picture for name, picture in ((PREVIEW, self.preview), (SKETCHES, self.sketches)) if picture is not None}

    def generate_model_card(self, name: str = "instruction", licence: str | None = None) -> ModelCard:
        """The card made from the record; see `model_card.model_card`."""
        return ModelCard(model_card(name, self.record, licence=licence, pictures=self._pictures()))

    def to_dict(self) -> dict[str, Any]:
        """config.json. Only with a companion is it of the format that has one, so that older versions read all others."""
        joined = {} if self.companion is None else {"companion": {"rank": self.companion.rank}}
        return {
            "kind": KIND,
            "format_version": FORMAT_VERSION if joined else 1,
            "shape": list(self.embeddings.shape),
            "rows": list(self.rows),
            **joined,
            "record": asdict(self.record),
        }

    @property
    def states_licence(self) -> bool:
        """Whether the record, or a card written by hand, says under which licence the sketch is."""
        return bool(self.record.licence) or (self.card is not None and has_licence(self.card))

    def push_to_hub(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload a learned instruction",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        licence: str | None = None,
    ) -> CommitInfo:
        """Publish the instruction in a model repository of the Hub, in one commit.

        The repository and the branch are made where there are none. A card that was edited on the Hub keeps its text, and
        its header is merged with ours. Files of other names stay.

        Args:
            repo_id: "name" or "namespace/name".
            private: of a new repository; None leaves it to the Hub. True is refused for one that is public.
            token: default the one of `hf auth login` or HF_TOKEN.
            branch, revision: two names for where to commit; default the main branch.
            create_pr: open a pull request (to the main branch) instead.
            licence: of the sketch, for the card; default the record's, or what the card says. It is never guessed.

        Returns:
            The commit: `str` of it is its address; `pr_url` is the pull request's.

        Raises:
            InputError: not allowed, out of reach, another model's repository, or changed by somebody meanwhile.
        """
        if branch is not None and revision is not None and branch != revision:
            raise InputError(f"branch is {branch!r} and revision {revision!r}, which are two names for one thing; give one.")
        branch = branch if branch is not None else revision
        if create_pr and branch not in (None, "main"):
            raise InputError(f"a pull request goes to the main branch, not to {branch!r}; leave out the one or the other.")
        if self.record.backbone != "mini" and not is_on_the_hub(self.record.backbone):
            logger.warning(
                "The instruction was learned on %s, a local backbone that others do not have; they cannot draw with it.",
                self.record.backbone,
            )
        repository = Repository.open(repo_id, private=private, branch=branch, token=token)
        if CONFIG in repository.files and WEIGHTS not in repository.files:
            raise InputError(f"{repository.id} holds another model, which a push would spoil; choose another repository.")
        present = repository.read(CARD)
        card = str(self.generate_model_card(repository.id, licence))
        if self.card is not None:
            card = merged_card(card, self.card)
            if is_by_hand(present):
                logger.warning("The card of %s was edited on the Hub and is kept; yours is not pushed.", repository.id)
        card = merged_card(card, present, licence=licence)
        if not has_licence(card):
            logger.warning("The card states no licence, so nobody knows what is allowed; push again with one.")
        with TemporaryDirectory() as folder:
            self._save_pretrained(Path(folder))
            (Path(folder) / CARD).write_text(card, encoding="utf-8", newline="")
            return repository.upload(Path(folder), commit_message, create_pr=create_pr)

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> LearnedInstruction:
        """Load a folder written by `save_pretrained`, or the same files from a Hub repository.

        Args:
            pretrained_model_name_or_path: a folder, or else "namespace/name" on the Hub.
            revision: branch, tag or commit; default the main branch.
            token: default the one of `hf auth login` or HF_TOKEN.
            cache_dir: default the Hub's own cache.
            local_files_only: take what is in the cache and ask nobody.

        Raises:
            InputError: nothing there, out of reach, not an instruction, damaged, or written by a newer version of this library.
        """
        return cls._from_pretrained(
            model_id=str(pretrained_model_name_or_path),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,
    ) -> LearnedInstruction:
        folder = Path(model_id)
        if not os.path.exists(folder):
            asked = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
            limits = {name: MAX_BYTES[name] for name in (CONFIG, WEIGHTS)}
            found = download(model_id, limits, revision=revision, force_download=force_download, **asked)
            if read_config(found[CONFIG], f"{CONFIG} of {model_id}")["companion"]:
                commit = found[CONFIG].parent.name
                found |= download(
                    model_id, {COMPANION: MAX_BYTES[COMPANION]}, revision=commit, force_download=force_download, **asked
                )
            return cls._read(found, model_id)
        if not os.path.isdir(folder):
            raise InputError(f"{folder} is a file; give the folder that holds {WEIGHTS}.")
        instruction = cls._read({name: folder / name for name in (CONFIG, WEIGHTS, COMPANION)}, model_id)
        instruction.preview, instruction.sketches = (_picture(folder / name) for name in (PREVIEW, SKETCHES))
        instruction.card = _read_card(folder)
        return instruction

    @classmethod
    def _read(cls, files: Mapping[str, Path], origin: str) -> LearnedInstruction:
        _check_file(files, CONFIG, origin)
        _check_file(files, WEIGHTS, origin)
        config = read_config(files[CONFIG], f"{CONFIG} of {origin}")
        weights = f"{WEIGHTS} of {origin}"
        try:
            tensors = load(files[WEIGHTS].read_bytes())
            embeddings, neutral = tensors["embeddings"], tensors["neutral"]
        except (SafetensorError, KeyError, OSError) as error:
            raise InputError(f"{weights} is damaged or not an instruction ({error}); save or download it again.") from None
        if list(embeddings.shape) != config["shape"] or {embeddings.dtype, neutral.dtype} != {torch.float32}:
            raise InputError(f"{weights} does not match its {CONFIG}; save or download both again.")
        companion = None
        if config["companion"]:
            _check_file(files, COMPANION, origin)
            companion = Companion.from_bytes(files[COMPANION].read_bytes(), f"{COMPANION} of {origin}")
            if companion.rank != config["companion"]:
                raise InputError(f"{COMPANION} of {origin} does not match its {CONFIG}; save or download both again.")
        return cls(embeddings, neutral, tuple(config["rows"]), config["record"], companion)

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


def _check_file(files: Mapping[str, Path], name: str, origin: str) -> None:
    if name not in files or not files[name].is_file():
        raise InputError(f"{origin} holds no {name}, so it is not a whole learned instruction; check the path.")
    if files[name].stat().st_size > MAX_BYTES[name]:
        raise InputError(f"{files[name]} is larger than {MAX_BYTES[name] >> 20} MiB, so it is not a learned instruction.")


def _read_card(folder: Path) -> str | None:
    """The README.md of a folder if it is by hand; None if there is none or it can be made again."""
    try:
        card = (folder / CARD).read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return None
    return card if is_by_hand(card) else None


def _picture(path: Path) -> Image.Image | None:
    try:
        return open_image(path) if path.is_file() else None
    except InputError as error:
        logger.warning("A picture of the card is left out: %s", error)
        return None
