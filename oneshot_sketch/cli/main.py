"""The command `oneshot-sketch` and its exit codes: 0 done, 2 unusable input or a stop asked for, 1 a bug."""

from __future__ import annotations

import logging
import os
import sys

import typer

from oneshot_sketch.cli.learn import learn
from oneshot_sketch.cli.quickstart import quickstart
from oneshot_sketch.cli.sketch import sketch
from oneshot_sketch.errors import InputError

app = typer.Typer(
    help="Learn an artist's hand from one photo and one sketch of it, and sketch other photos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (quickstart, learn, sketch):
    app.command()(command)


def main() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="oneshot-sketch: %(message)s")
    try:
        app()
    except InputError as error:
        sys.exit(_say(str(error)))
    except KeyboardInterrupt:
        sys.exit(_say("stopped; run the same command again to go on."))
    except MemoryError:
        sys.exit(_say("there is not enough memory; use smaller pictures or a smaller resolution."))


def _say(message: str) -> int:
    print(f"oneshot-sketch: {message}", file=sys.stderr)
    return 2
