"""`serm evolve`: run the loop, watch it, stop it, go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.calling import command
from serm.cli.format import clean
from serm.cli.options import Config

if TYPE_CHECKING:
    from rich.console import Console

    from serm.graphs import EvolutionResult


def add_to(app: typer.Typer) -> None:
    app.command("evolve")(evolve)


def evolve(
    config: Config,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Stop after so many rounds, counted from the first.")
    ] = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes", help="Go on under a config whose judges, agents, budget or gate have changed."
        ),
    ] = False,
) -> None:
    """Mine, label, retrain, decide; window by window. Run again it goes on where it stopped."""
    if accept_changes:
        _accept(config)
    watch(config, rounds)


def _accept(config: Path) -> None:
    from serm.cli.load import load_settings
    from serm.storage.workspace import Workspace

    for line in Workspace.accept(load_settings(config)):
        print(line)


def watch(config: Path, rounds: int | None = None) -> None:
    """Run with progress until the end, or until a signal asks to stop; then tell what came of it."""
    from rich.console import Console

    from serm.cli.load import load_settings, notices
    from serm.cli.progress import RunProgress
    from serm.cli.stopping import AFTER_STEP, controlled
    from serm.core.errors import BudgetExceededError

    settings = load_settings(config)
    console = Console(emoji=False, soft_wrap=True)
    with RunProgress(console) as progress:
        progress.say(f"Workspace {settings.workspace_path}")
        for line in notices(config):
            progress.say(line, style="yellow")
        from serm.graphs import evolve as run

        with controlled(progress, AFTER_STEP.format(what="the calls")) as (control, stop):
            try:
                result = run(settings, rounds=rounds, on_event=progress, control=control)
            except KeyboardInterrupt:
                progress.say(_resume(config), style="yellow")
                raise typer.Exit(stop.exit_code or 130) from None
    tell(console, result, config)
    if stop.signal is not None and not result.stop:
        raise typer.Exit(stop.exit_code)
    if result.out_of_money:
        raise typer.Exit(BudgetExceededError.exit_code)


def tell(console: Console, result: EvolutionResult, config: Path) -> None:
    """The table of all rounds, why each was promoted or rolled back, why the run ended, what to look at."""
    from serm.cli.health import fell_back, warnings
    from serm.cli.rounds_table import failures, rounds_table, verdicts
    from serm.cli.stages_table import stages_table, worth_showing

    if result.rounds:
        console.print(rounds_table(result.rounds))
        if worth_showing(result.rounds):
            console.print(stages_table(result.rounds))
        for line in verdicts(result.rounds):
            console.print(line)
        for told in failures(result.rounds):
            console.print(told, markup=False, style="yellow")
        for report in result.rounds:
            for reason in fell_back(report.get("fell_back") or {}):
                console.print(f"Round {report['round']}: {reason}", markup=False, style="yellow")
        for warning in warnings(result.rounds[-1].get("outside") or {}):
            console.print(warning, markup=False, style="yellow")
    lines = [
        _ending(result, config),
        "Look at it:",
        f"  {command('trace', config)}     a round as a tree: agents, their tools, judges",
        f"  {command('models', config)}    the versions, and which one is in use",
        f"  {command('ui', config)}        the same and all figures in MLflow",
    ]
    console.print("\n".join(lines), markup=False, highlight=False)


def _ending(result: EvolutionResult, config: Path) -> str:
    if result.question:
        return (
            f"Waiting for a person. The supervisor asks: {clean(result.question)}\n"
            f"`{command('answer', config)}` answers it, and the run goes on."
        )
    if result.waiting:
        return (
            f"Waiting for a person: the judges do not agree on {result.waiting} pairs. "
            f"`{command('review', config)}` asks about them, and the run goes on."
        )
    if result.out_of_money:
        return (
            f"Stopped: {result.stop.rstrip('.')}.\n"
            f"Raise `budget.currency`, and `{command('evolve', config)}` goes on from here."
        )
    return f"Done: {result.stop.rstrip('.')}." if result.stop else _resume(config)


def _resume(config: Path) -> str:
    return f"Stopped; nothing is lost. `{command('evolve', config)}` goes on from here."
