"""CLIP's two towers behind one small protocol, from transformers or from open_clip, always frozen.

The learners need three things of CLIP: features of pictures they can differentiate, the projection of pooled text rows
into the same space, and, for hard prompts, the text tower run on rows that are not tied to any token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot_sketch.errors import InputError

if TYPE_CHECKING:
    import open_clip
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPModel, CLIPTokenizer

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
OPEN_CLIP_PREFIX = "open_clip:"


class ClipTowers(Protocol):
    """A frozen CLIP. Features are un-normalised and come in the dtype of the weights.

    Here p is the width of the shared space, d that of the text tower's hidden rows, e that of its input embeddings and
    V the number of tokens.
    """

    @property
    def text_width(self) -> int:
        """d."""
        ...

    @property
    def token_table(self) -> Tensor:
        """(V, e), the input embedding of every token."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids a prompt may not hold: begin, end, padding, and rows of the table that stand for no text."""
        ...

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float in [-1, 1], any size → (B, p), differentiable.

        Pictures are resized straight to the model's square (bicubic, antialiased, not clipped): nothing is cropped,
        and a picture that is not square is squeezed.
        """
        ...

    def project_text(self, pooled: Tensor) -> Tensor:
        """(B, d) rows from after the final layer norm → (B, p) through the text projection."""
        ...

    def encode_tokens(self, embeddings: Tensor) -> Tensor:
        """(B, n, e) input embeddings → (B, p): the text tower on BOS, these rows, EOS, read at EOS; differentiable."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without the spaces around it."""
        ...

    def to(self, device: torch.device | str) -> Self: ...


class _FrozenTowers(nn.Module, ABC):
    """What both backends share: frozen weights, pictures made ready inside autograd, and the frame BOS … EOS."""

    model: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        frame: tuple[int, int],
        context: int,
    ) -> None:
        super().__init__()
        self.size, self.frame, self.context = size, frame, context
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.eval()

    @property
    @abstractmethod
    def token_table(self) -> Tensor: ...

    @abstractmethod
    def project_text(self, pooled: Tensor) -> Tensor: ...

    @abstractmethod
    def _image_features(self, pixels: Tensor) -> Tensor:
        """(B, 3, *size), normalised → (B, p)."""

    @abstractmethod
    def _text_states(self, rows: Tensor) -> Tensor:
        """(B, m, e) input embeddings, m at most `context` → hidden rows (B, m, d) after the final layer norm."""

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, whatever a module around it does."""
        return super().train(False)

    def encode_image(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(f"CLIP reads images of shape (B, 3, H, W), not {tuple(images.shape)}; stack RGB images of one size.")
        resized = F.interpolate(images, self.size, mode="bicubic", antialias=True)
        return self._image_features((resized / 2 + 0.5 - self.mean) / self.std)

    def encode_tokens(self, embeddings: Tensor) -> Tensor:
        batch, length, _ = embeddings.shape
        if length > self.context - 2:
            raise InputError(f"a prompt of {length} tokens does not fit the {self.context - 2} this CLIP reads; shorten it.")
        begin, end = (self.token_table[i].expand(batch, 1, -1) for i in self.frame)
        # Attention is causal: what follows EOS cannot change its row, so no padding is added.
        rows = torch.cat([begin, embeddings.to(begin.dtype), end], dim=1)
        return self.project_text(self._text_states(rows)[:, -1])


class TransformersClip(_FrozenTowers):
    """`transformers.CLIPModel` and its tokenizer as `ClipTowers`.

    Args:
        model: is frozen in place.
        mean, std: of pixels in [0, 1], for red, green and blue.
    """

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: CLIPTokenizer,
        mean: Sequence[float] = OPENAI_MEAN,
        std: Sequence[float] = OPENAI_STD,
    ) -> None:
        words = model.text_model.embeddings
        _check_vocabulary(len(tokenizer), len(set(tokenizer.all_special_ids)), words.token_embedding.num_embeddings)
        side: Any = model.vision_model.embeddings.image_size
        frame: Any = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        super().__init__((side, side), mean, std, frame, words.position_embedding.num_embeddings)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name: str | Path, **hub: Any) -> Self:
        """Load a Hub id or a local folder, from safetensors only.

        Args:
            hub: what transformers passes to the Hub: revision, cache_dir, token, local_files_only, subfolder.

        Raises:
            InputError: missing or out of reach, not a CLIP, or incomplete.
        """
        from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

        with _loading(name):
            settings, _ = CLIPConfig.get_config_dict(name, **hub)
        if settings.get("model_type") != "clip":
            kind = settings.get("model_type", "unknown")
            raise InputError(
                f"{name} holds a model of type {kind}, not a whole CLIP; name one, such as openai/clip-vit-large-patch14."
            )
        with _loading(name):
            loaded: Any = CLIPModel.from_pretrained(
                name, dtype=torch.float32, output_loading_info=True, use_safetensors=True, **hub
            )
            tokenizer = CLIPTokenizer.from_pretrained(name, **hub)
            mean, std = _pixel_statistics(name, **hub)
        model, report = loaded
        if report["missing_keys"]:
            lost = sorted(report["missing_keys"])
            raise InputError(f"{name} lacks {len(lost)} of CLIP's weights, {lost[0]} among them; use a complete checkpoint.")
        return cls(model, tokenizer, mean, std)

    @property
    def text_width(self) -> int:
        return self.model.config.text_config.hidden_size

    @property
    def token_table(self) -> Tensor:
        return self.model.text_model.embeddings.token_embedding.weight

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset([*self.tokenizer.all_special_ids, *range(len(self.tokenizer), len(self.token_table))])

    def project_text(self, pooled: Tensor) -> Tensor:
        return self.model.text_projection(pooled.to(self.model.dtype))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids))).strip()

    def _image_features(self, pixels: Tensor) -> Tensor:
        return self.model.get_image_features(pixels.to(self.model.dtype)).pooler_output

    def _text_states(self, rows: Tensor) -> Tensor:
        tower = self.model.text_model
        hidden = tower.embeddings(inputs_embeds=rows)
        mask = hidden.new_full((rows.shape[1], rows.shape[1]), -torch.inf).triu(1)
        states = tower.encoder(inputs_embeds=hidden, attention_mask=mask[None, None]).last_hidden_state
        return tower.final_layer_norm(states)


class OpenClip(_FrozenTowers):
    """A model of open_clip with CLIP's own text tower (causal, byte pairs, read at EOS) as `ClipTowers`.

    Args:
        model: is frozen in place; mean and std are those open_clip attached to it, else OpenAI's.

    Raises:
        InputError: another kind of text tower or tokenizer.
    """

    def __init__(self, model: open_clip.CLIP, tokenizer: SimpleTokenizer) -> None:
        import open_clip

        causal = isinstance(model, open_clip.CLIP) and model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")
        if not causal or not isinstance(tokenizer, open_clip.SimpleTokenizer):
            raise InputError(
                "this open_clip model has another text tower than CLIP's own; choose a plain CLIP, such as ViT-H-14."
            )
        _check_vocabulary(tokenizer.vocab_size, len(tokenizer.all_special_ids), model.vocab_size)
        settings = open_clip.get_model_preprocess_cfg(model)
        size = settings["size"]
        super().__init__(
            (size, size) if isinstance(size, int) else (size[0], size[1]),
            settings.get("mean") or OPENAI_MEAN,
            settings.get("std") or OPENAI_STD,
            (tokenizer.sot_token_id, tokenizer.eot_token_id),
            model.context_length,
        )
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name: str, weights: str) -> Self:
        """Load a model by name, such as "ViT-H-14", from safetensors only.

        Args:
            weights: one of open_clip's tags for that model, such as "laion2b_s32b_b79k", or the path of a .safetensors
                file.

        Raises:
            InputError: unknown or out of reach, only offered as a pickle, trained with an activation the model lacks,
                or not a plain CLIP.
        """
        import open_clip

        if name not in open_clip.list_models():
            raise InputError(f"open_clip has no model {name}; choose a name from open_clip.list_models().")
        source = open_clip.get_pretrained_cfg(name, weights)
        settings = open_clip.get_model_config(name) or {}
        if source.get("quick_gelu") and not settings.get("quick_gelu"):
            raise InputError(
                f"the weights {weights} were trained with QuickGELU, which {name} lacks; load them into {name}-quickgelu."
            )
        path = _open_clip_file(name, weights, source)
        with _loading(f"{name}/{weights}"):
            tokenizer: Any = open_clip.get_tokenizer(name)
            model: Any = open_clip.create_model(name, pretrained=str(path), force_preprocess_cfg=source)
        return cls(model, tokenizer)

    @property
    def text_width(self) -> int:
        return self.token_table.shape[1]

    @property
    def token_table(self) -> Tensor:
        return self.model.token_embedding.weight

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset([*self.tokenizer.all_special_ids, *range(self.tokenizer.vocab_size, len(self.token_table))])

    def project_text(self, pooled: Tensor) -> Tensor:
        projection = self.model.text_projection
        pooled = pooled.to(self.token_table.dtype)
        if projection is None:
            return pooled
        return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids)).strip()

    def _image_features(self, pixels: Tensor) -> Tensor:
        return self.model.encode_image(pixels.to(self.token_table.dtype))

    def _text_states(self, rows: Tensor) -> Tensor:
        length = rows.shape[1]
        hidden = rows + self.model.positional_embedding[:length]
        return self.model.ln_final(self.model.transformer(hidden, attn_mask=self.model.attn_mask[:length, :length]))


def load_clip(name: str) -> ClipTowers:
    """A CLIP by name: "openai/clip-vit-large-patch14" or a folder, or "open_clip:ViT-H-14/laion2b_s32b_b79k".

    Raises:
        InputError: the name is unknown or out of reach, or names something else than a CLIP.
    """
    if not name.startswith(OPEN_CLIP_PREFIX):
        return TransformersClip.from_pretrained(name)
    model, _, weights = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")
    if not weights:
        raise InputError(
            f"{name} names no weights; write {OPEN_CLIP_PREFIX}MODEL/WEIGHTS, such as open_clip:ViT-H-14/laion2b_s32b_b79k."
        )
    return OpenClip.from_pretrained(model, weights)


@contextmanager
def _loading(name: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(f"CLIP {name} cannot be loaded ({reason}); check the name, and the connection or the folder.") from error


def _check_vocabulary(tokens: int, special: int, rows: int) -> None:
    if not special < tokens <= rows:
        raise InputError(
            f"the tokenizer has {tokens} tokens and CLIP {rows} rows for them; load both from one complete checkpoint."
        )


def _pixel_statistics(name: str | Path, **hub: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and std of a checkpoint's preprocessor configuration, OpenAI's where none can be read."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name, **hub)
    except OSError:
        return OPENAI_MEAN, OPENAI_STD
    return settings.get("image_mean", OPENAI_MEAN), settings.get("image_std", OPENAI_STD)


def _open_clip_file(name: str, weights: str, source: dict[str, Any]) -> Path:
    """The local safetensors file of one of open_clip's tags, downloaded if need be, or of a path."""
    import open_clip

    path = Path(weights)
    if source:
        with _loading(f"{name}/{weights}"):
            path = Path(open_clip.download_pretrained(source))
    elif not path.is_file():
        known = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise InputError(
            f"{weights} is no file, and not among the weights open_clip has for {name} ({known}); choose one of these."
        )
    if path.suffix != ".safetensors":
        raise InputError(
            f"{name}/{weights} comes as {path.name}, which may be a pickle and is never opened; choose weights in safetensors."
        )
    return path
