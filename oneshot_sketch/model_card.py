"""The card of a learned instruction, as its README.md: written from the record, merged with what people made of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.utils import validate_repo_id

from oneshot_sketch.instruction_record import InstructionRecord

CARD, PREVIEW, SKETCHES = "README.md", "preview.png", "sketches.png"
MAX_CURVE_ROWS = 12
LICENCES = frozenset(
    """
    apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0
    cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 creativeml-openrail-m gfdl gpl gpl-2.0 gpl-3.0 agpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 mit mpl-2.0 ofl-1.1 openrail openrail++ pddl unlicense wtfpl zlib unknown other
    """.split()
)  # those of the Hub's identifiers that a drawing or a model may bear

_FACTS = ("library_name", "base_model", "base_model_relation")
_LICENCE = ("license", "license_name", "license_link")
_STAMP = re.compile(r"\s*<!-- written by oneshot-sketch \(header (\w+), text (\w+)\) -->\s*\Z")

logger = logging.getLogger(__name__)


def model_card(name: str, record: InstructionRecord, *, licence: str | None = None, pictures: Collection[str] = ()) -> str:
    """The README.md of an instruction: the Hub's YAML header, then what it does and how it was learned.

    Args:
        name: folder or Hub id to load it by.
        licence: as the Hub names them or as people do; default the record's.
        pictures: which of `PREVIEW` and `SKETCHES` lie beside the card.
    """
    header: dict[str, Any] = {"library_name": "oneshot-sketch", "pipeline_tag": "image-to-image"}
    if is_on_the_hub(record.backbone):
        header |= {"base_model": record.backbone, "base_model_relation": "adapter"}
    header |= {**_licence_entries(licence or record.licence), "tags": ["oneshot-sketch", "learned-instruction", "sketch"]}
    return _stamped(header, _body(name, record, pictures))


def merged_card(new: str, old: str, *, licence: str | None = None) -> str:
    """`new` where nobody touched `old` since it was written; else the hand-made text of `old`, and both headers in one.

    Of two values for one header entry, the hand-made one stays, but for the library and the base model, which are facts;
    tags are joined.

    Args:
        licence: to state, whatever the cards say.
    """
    fresh, present = _parsed(new), _parsed(old)
    if fresh is None or present is None:
        logger.warning("The header of the present card is not readable; the card is left as it is.")
        return old
    header_by_hand, text_by_hand = _by_hand(present)
    ours, theirs = fresh.data.to_dict(), present.data.to_dict()
    weak, strong = (ours, theirs) if header_by_hand else (theirs, ours)
    both = {key: value for key, value in weak.items() if not ("license" in strong and key in _LICENCE)}
    both |= strong | {key: ours[key] for key in _FACTS if key in ours}
    both["tags"] = list(dict.fromkeys([*_listed(theirs.get("tags")), *_listed(ours.get("tags"))]))
    if licence:
        both = {key: value for key, value in both.items() if key not in _LICENCE} | _licence_entries(licence)
    if not text_by_hand:
        return _stamped(both, _STAMP.sub("", fresh.text), header_by_hand=header_by_hand)
    if both == theirs:
        return old
    present.data = ModelCardData(**both, ignore_metadata_errors=True)
    if not header_by_hand:
        mark = f"header {_digest(present.data.to_dict())}"
        present.text = _STAMP.sub(lambda stamp: stamp[0].replace(f"header {stamp[1]}", mark), present.text)
    return str(present)


def has_licence(card: str) -> bool:
    parsed = _parsed(card)
    return parsed is not None and bool(parsed.data.to_dict().get("license"))


def is_by_hand(card: str) -> bool:
    """Whether somebody wrote this card, or changed its header or text."""
    parsed = _parsed(card)
    return parsed is None or any(_by_hand(parsed))


def is_on_the_hub(backbone: str) -> bool:
    """Whether others may find a backbone of that name on the Hub: not `mini`, no folder here, a name a repository may have."""
    if "/" not in backbone or os.path.isdir(backbone):
        return False
    try:
        validate_repo_id(backbone)
    except HFValidationError:
        return False
    return True


def _body(name: str, record: InstructionRecord, pictures: Collection[str]) -> str:
    hand = f"the hand of {record.style}" if record.style else "the hand it was learned from"
    parts = [
        f"# {name}",
        f"A learned instruction of oneshot-sketch for `{record.backbone}`: it sketches photos of faces in {hand}.",
    ]
    if PREVIEW in pictures:
        parts.append(f"![The pair it was learned from, and what it draws of that photo]({PREVIEW})")
    if SKETCHES in pictures:
        parts.append(f"Other faces:\n\n![Photos and what it draws of them]({SKETCHES})")
    parts += [
        "## Use",
        _fenced(
            "bash", f"pip install oneshot-sketch\noneshot-sketch sketch photo.jpg --instruction {_shell(name)} --output drawn"
        ),
        _fenced(
            "python",
            "from diffusers.utils import load_image\n"
            "from oneshot_sketch import OneShotSketchPipeline\n\n"
            f"pipe = OneShotSketchPipeline.from_pretrained({_quoted(record.backbone)})\n"
            f"pipe.load_instruction({_quoted(name)})\n"
            'pipe(image=load_image("photo.jpg")).images[0].save("sketch.png")',
        ),
        "## How it was learned",
        f"Pairs: {', '.join(record.pairs) or 'unknown'}. Steps: {record.steps}, of which {record.best_step} are kept. "
        f"Seed: {record.seed}.",
    ]
    if record.text:
        parts.append(f"Started from the text “{record.text}”.")
    if record.losses:
        parts.append(_table(("measure", "value"), [(key, f"{value:.4g}") for key, value in record.losses.items()]))
    if record.curve and len(record.curve["step"]) > 1:
        parts += ["The learning curve, on draws that do not change:", _curve(record.curve)]
    settings = {key: value for key, value in asdict(record).items() if key in ("drawing", "config", "versions", "fingerprint")}
    details = json.dumps({key: value for key, value in settings.items() if value}, indent=2, ensure_ascii=False)
    if details != "{}":
        parts.append(f"<details><summary>Every setting</summary>\n\n{_fenced('json', details)}\n\n</details>")
    return "\n" + "\n\n".join(parts) + "\n"


def _curve(curve: Any) -> str:
    """Its table, thinned to `MAX_CURVE_ROWS` with both ends kept."""
    count = len(curve["step"])
    shown = min(count, MAX_CURVE_ROWS)
    chosen = sorted({round(i * (count - 1) / (shown - 1)) for i in range(shown)})
    names = ["step", *(name for name in curve if name != "step")]
    return _table(
        names, [[f"{curve[name][i]:.4g}" if name != "step" else f"{curve[name][i]:g}" for name in names] for i in chosen]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |" for line in (head, *rows)]
    return "\n".join([cells[0], "|" + "---|" * len(head), *cells[1:]])


def _fenced(language: str, code: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code}\n{fence}"


def _licence_entries(licence: str | None) -> dict[str, Any]:
    """The Hub's header entries for a licence as people write it; one the Hub does not list is `other`, by its name."""
    if not licence:
        return {}
    name = re.sub(r"[\s_]+", "-", licence.strip().lower())
    return {"license": name} if name in LICENCES else {"license": "other", "license_name": name}


def _parsed(card: str) -> ModelCard | None:
    """None for a header that is no YAML, or not the Hub's."""
    try:
        return ModelCard(card if REGEX_YAML_BLOCK.search(card) else f"---\n{{}}\n---\n{card}", ignore_metadata_errors=True)
    except (ValueError, TypeError, yaml.YAMLError, RecursionError):
        return None


def _by_hand(card: ModelCard) -> tuple[bool, bool]:
    """Whether header and text were made or changed by somebody since the stamp; no text at all is nobody's."""
    stamp = _STAMP.search(card.text)
    header, text = stamp.groups() if stamp else ("", "")
    body = _STAMP.sub("", card.text)
    header_changed = bool(card.data.to_dict()) and header != _digest(card.data.to_dict())
    return header_changed, bool(body.strip()) and text != _digest(_unwrapped(body))


def _stamped(header: dict[str, Any], body: str, *, header_by_hand: bool = False) -> str:
    data = ModelCardData(**header, ignore_metadata_errors=True)
    mark = "edited" if header_by_hand else _digest(data.to_dict())
    stamp = f"<!-- written by oneshot-sketch (header {mark}, text {_digest(_unwrapped(body))}) -->"
    return f"---\n{data.to_yaml()}\n---\n{body.rstrip()}\n\n{stamp}\n"


def _unwrapped(body: str) -> list[str]:
    """Its lines, whatever an editor did to their ends."""
    return [line.rstrip() for line in body.strip().splitlines()]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _shell(name: str) -> str:
    return name if re.fullmatch(r"[\w./-]+", name) else "'" + name.replace("'", "'\\''") + "'"


def _quoted(value: str) -> str:
    """As JSON, which Python reads alike."""
    return json.dumps(value, ensure_ascii=False)
