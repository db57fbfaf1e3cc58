"""`serm evolve`: run the loop, watch it, stop it, go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.options import Config

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from serm.graphs import EvolutionResult


def add_to(app: typer.Typer) -> None:
    app.command("evolve")(evolve)


def evolve(
    config: Config,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Stop after so many rounds, counted from the first.")
    ] = None,
) -> None:
    """Mine, label, retrain, decide; window by window. Run again it goes on where it stopped."""
    from rich.console import Console

    from serm.cli.load import load_settings
    from serm.cli.progress import RunProgress
    from serm.cli.stopping import stopping

    settings = load_settings(config)
    console = Console(soft_wrap=True)
    with RunProgress(console) as progress:
        progress.say(f"Workspace {settings.workspace_path}")
        from langgraph.runtime import RunControl

        from serm.graphs import evolve as run

        control = RunControl()

        def ask() -> None:
            control.request_drain()
            progress.say("Stopping at the end of this step; once more stops at once.", style="yellow")

        with stopping(ask) as stop:
            try:
                result = run(settings, rounds=rounds, on_event=progress, control=control)
            except KeyboardInterrupt:
                progress.say(_resume(config), style="yellow")
                raise typer.Exit(stop.exit_code or 130) from None
    tell(console, result, config)
    if stop.signal is not None and not result.stop:
        raise typer.Exit(stop.exit_code)


def tell(console: Console, result: EvolutionResult, config: Path) -> None:
    """The table of all rounds, why each was promoted or rolled back, why the run ended, what to look at."""
    from serm.cli.rounds_table import rounds_table, verdicts

    if result.rounds:
        console.print(rounds_table(result.rounds))
        for line in verdicts(result.rounds):
            console.print(line)
    console.print(f"Done: {result.stop}." if result.stop else _resume(config), markup=False, highlight=False)
    console.print(
        f"Look at it: `serm trace {config}` (a round as a tree), `serm models {config}` (versions), "
        f"`serm ui {config}` (MLflow).",
        markup=False,
        highlight=False,
    )


def _resume(config: Path) -> str:
    return f"Stopped; nothing is lost. `serm evolve {config}` goes on from here."
