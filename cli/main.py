"""The command `serm`. Each command is a file of its own and imports what it needs when it runs, so that
`serm --help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from serm.cli import (
    agreement,
    annotate,
    answer,
    audit,
    benchmark,
    demo,
    doctor,
    drift,
    evolve,
    init,
    mine,
    models,
    plan,
    review,
    score,
    trace,
    ui,
)
from serm.cli.errors import report

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ANONYMIZED_TELEMETRY": "false",  # chroma
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Nobody's data leaves, and no library draws over the progress; a variable that is set already stays."""


class _Commands(TyperGroup):
    """Commands in the order in which a new user needs them. Ctrl-C leaves with 130 under any Typer."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(report(interrupt, [])) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A self-evolving search-relevance model: agents mine, LLM judges agree, the model retrains, a gate "
    "decides.",
)
for command in (
    init,
    doctor,
    audit,
    plan,
    drift,
    mine,
    evolve,
    review,
    answer,
    annotate,
    agreement,
    trace,
    models,
    score,
    ui,
    demo,
    benchmark,
):
    command.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"serm {version('serm')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of any error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what goes wrong is told on stderr. Returns the exit code (130 after Ctrl-C)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        app(args=arguments, prog_name="serm")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:
        return report(error, arguments, debug="--debug" in arguments)
    return 0


def main() -> None:
    raise SystemExit(run())
