"""`oneshot-sketch push`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from oneshot_sketch.errors import InputError


def push(
    instruction: Annotated[Path, typer.Argument(help="Folder of a learned instruction.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hub, as NAMESPACE/NAME; made if there is none.")],
    licence: Annotated[str | None, typer.Option(help="Of the sketch, for the card: cc-by-4.0, cc0-1.0 …")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    branch: Annotated[str | None, typer.Option(help="Where to commit, default the main branch; made if there is none.")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead.")] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "Upload a learned instruction",
    token: Annotated[str | None, typer.Option(help="Default HF_TOKEN, or the one of `hf auth login`.")] = None,
) -> None:
    """Publish a learned instruction on the Hub."""
    if not instruction.is_dir():
        raise InputError(f"{instruction} is no folder; give the folder of a learned instruction.")

    from huggingface_hub.utils import disable_progress_bars

    from oneshot_sketch.learned_instruction import LearnedInstruction

    learned = LearnedInstruction.from_pretrained(instruction)
    if licence is None and not learned.states_licence and sys.stdin.isatty():
        asked = "Licence of the sketch, such as cc-by-4.0 or cc0-1.0 (empty: state none)"
        licence = typer.prompt(asked, default="", show_default=False) or None
    disable_progress_bars()
    commit = learned.push_to_hub(
        repo, licence=licence, private=private or None, branch=branch, create_pr=create_pr, commit_message=message, token=token
    )
    print(f"Look at {commit.pr_url or commit.commit_url}")
