"""`serm trace`: what happened in a round, or to one pair."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from serm.cli.options import Place, Round

WIDE, WIDEST = 500, 100_000  # characters


def add_to(app: typer.Typer) -> None:
    app.command("trace")(trace)


def trace(
    place: Place,
    *,
    round_number: Round = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option("--pair", metavar="QUERY_ID DOC_ID", help="Tell the whole story of one pair."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every span, also of many alike.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Cut no argument, result, reason or error of an agent short.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="All spans of the round, as a list, and nothing else.")
    ] = False,
) -> None:
    """Show a round as a tree with times, calls, tokens and cost; or tell one pair's whole story."""
    from rich.console import Console

    from serm.cli.load import look_at
    from serm.core.errors import ConfigError

    if pair is not None and as_json:
        raise ConfigError("--json is of a round, and --pair of one pair.", "Leave one of them out.")
    workspace = look_at(place)
    # A tree is wrapped to the console's width: in a file or a pipe it should not be.
    wide = WIDEST if full else WIDE
    console = Console(emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else wide)
    if pair is not None:
        from serm.cli.pair_story import tell

        for line in tell(workspace, *pair, round_number=round_number):
            console.print(line)
        return
    from serm.cli.stages_table import stages_table
    from serm.cli.trace_tree import WHOLE, WIDTH, render_tree
    from serm.storage.round_traces import trace_of
    from serm.storage.rounds import read_rounds
    from serm.storage.span_tree import build_tree
    from serm.storage.trace import read_spans

    trace_id = trace_of(workspace, round_number)
    spans = read_spans(workspace.traces, trace_id)
    if as_json:
        print(json.dumps([asdict(item) for item in spans], ensure_ascii=False, indent=2))
        return
    console.print(render_tree(build_tree(spans), everything=everything, width=WHOLE if full else WIDTH))
    finished = [report for report in read_rounds(workspace.rounds) if report["trace_id"] == trace_id]
    if (table := stages_table(finished)) is not None:
        console.print(table)
