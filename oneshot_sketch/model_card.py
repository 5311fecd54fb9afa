"""The card of a learned instruction, as its README.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def model_card(name: str, record: Mapping[str, Any], *, has_preview: bool) -> str:
    """Markdown with the Hub's YAML header, from an `InstructionRecord` as a dict."""
    header = {
        "library_name": "oneshot-sketch",
        "pipeline_tag": "image-to-image",
        "tags": ["oneshot-sketch", "learned-instruction", "sketch"],
    }
    if record["backbone"] != "mini":
        header |= {"base_model": record["backbone"], "base_model_relation": "adapter"}
    if record.get("licence"):
        header["license"] = record["licence"].lower()
    lines = [
        "---",
        *(f"{key}: {_quoted(value)}" for key, value in header.items()),
        "---",
        "",
        f"# {name}",
        "",
    ]
    lines += [f"A learned instruction for `{record['backbone']}`: it sketches photos in the hand it was learned from."]
    if has_preview:
        lines += ["", "![The pair it was learned from, and what it draws](preview.png)"]
    lines += [
        "",
        "```python",
        "from oneshot_sketch import OneShotSketchPipeline",
        "",
        f"pipe = OneShotSketchPipeline.from_pretrained({_quoted(record['backbone'])})",
        f"pipe.load_instruction({_quoted(name)})",
        "sketch = pipe(image=photo).images[0]",
        "```",
        "",
        "## How it was learned",
        "",
        f"Pairs: {', '.join(record['pairs']) or 'unknown'}. Steps: {record['steps']}. Seed: {record['seed']}.",
    ]
    if record["text"]:
        lines += ["", f"Started from the text “{record['text']}”."]
    if record["losses"]:
        lines += [
            "",
            "| measure | value |",
            "|---|---|",
            *(f"| {key} | {value:.4g} |" for key, value in record["losses"].items()),
        ]
    return "\n".join(lines) + "\n"


def _quoted(value: Any) -> str:
    """As JSON, which YAML and Python read alike."""
    return json.dumps(value, ensure_ascii=False)
