"""`oneshot-sketch benchmark run` and `benchmark report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

benchmark = typer.Typer(help="Compare systems on pairs: one learned from, the others drawn and judged.", no_args_is_help=True)


@benchmark.command()
def run(
    protocol: Annotated[str, typer.Argument(help="A shipped protocol (hands, sketch_to_photo, …) or a TOML file.")],
    data: Annotated[Path, typer.Option(help="Folder that the protocol's data lie in.")],
    output: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is gone on with.")],
    systems: Annotated[list[str] | None, typer.Option(help="Title of an entrant to run; repeat for more, default all.")] = None,
    plugin: Annotated[Path | None, typer.Option(help="A Python file of yours that registers systems.")] = None,
) -> None:
    """Run a protocol, then write its report."""
    from oneshot_sketch.benchmark import load_plugin, load_protocol
    from oneshot_sketch.benchmark.harness import run as run_protocol

    if plugin is not None:
        load_plugin(plugin)
    run_protocol(load_protocol(protocol), data, output, systems or ())
    report(output)


@benchmark.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The --output of a run.")],
    without_data: Annotated[bool, typer.Option(help="Leave the data's own pictures out, to publish the rest.")] = False,
) -> None:
    """Write table.md, table.csv, sheets/ and report.html."""
    from oneshot_sketch.benchmark.report import report as write_report

    print(f"Look at {write_report(folder, without_data)}")
