"""The command `oneshot-sketch` and its exit codes: 0 done, 2 unusable input or a stop asked for, 1 a bug."""

from __future__ import annotations

import io
import logging
import os
import sys

import typer

from oneshot_sketch.cli.benchmark import benchmark
from oneshot_sketch.cli.learn import learn
from oneshot_sketch.cli.push import push
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
for command in (quickstart, learn, sketch, push):
    app.command()(command)
app.add_typer(benchmark, name="benchmark")

_STOPPED = "stopped; run the same command again to go on."
_NO_MEMORY = "there is not enough memory; use smaller pictures or a smaller resolution."


def main() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="oneshot-sketch: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as stop:
        sys.exit(_say(_STOPPED) if stop.code == 130 else stop.code)  # typer's answer to Ctrl-C
    except InputError as error:
        sys.exit(_say(str(error)))
    except KeyboardInterrupt:
        sys.exit(_say(_STOPPED))
    except MemoryError:
        sys.exit(_say(_NO_MEMORY))
    except OSError as error:
        sys.exit(_say(f"{error.filename or 'a file'} cannot be used ({error.strerror or error}); check the path and the disk."))
    except RuntimeError as error:
        if "out of memory" not in str(error) and "allocate memory" not in str(error):  # CUDA's and the CPU's words
            raise
        sys.exit(_say(_NO_MEMORY))


def _say(message: str) -> int:
    """One line, whatever odd names it quotes."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"oneshot-sketch: {line}", file=sys.stderr)
    return 2
