"""`serm mine`: what the miner would send to the judges, and why, without sending it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.options import Config, Window
from serm.storage.table_files import TABLES

if TYPE_CHECKING:
    from rich.console import Console

    from serm.core.settings import Settings
    from serm.graphs import Mined


def add_to(app: typer.Typer) -> None:
    app.command("mine")(mine)


def mine(
    config: Config,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the sample goes: .parquet, .csv or .jsonl.")
    ],
    window: Window = None,
) -> None:
    """Choose the pairs of a window that are worth a label, and write them with who chose them and why."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from serm.cli.health import fell_back
    from serm.cli.load import load_settings
    from serm.cli.outputs import files_of, require_apart
    from serm.core.errors import ConfigError

    form = out.suffix.lower()
    if form not in TABLES:
        raise ConfigError(f"{out} has no format that is known.", f"End it in {', '.join(TABLES)}.")
    settings = load_settings(config)
    require_apart({"--out": out}, files_of(settings, config))

    console = Console(emoji=False, soft_wrap=True, highlight=False)
    mined = _mined(console, settings, window)

    from serm.storage.artifacts import write_file

    def write(place: Path) -> None:
        TABLES[form](mined.pairs, place)

    write_file(out, write)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading, justify in (("agent", "left"), ("nominated", "right"), ("taken", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for agent in dict.fromkeys([*mined.nominated, *mined.taken]):
        table.add_row(agent, str(mined.nominated.get(agent, "-")), str(mined.taken.get(agent, 0)))
    console.print(table)
    for line in fell_back(mined.fell_back):
        console.print(line, markup=False, style="yellow")
    queries = mined.pairs["query_id"].nunique()
    console.print(
        f"{len(mined.pairs):,} pairs of {queries:,} queries of window {mined.window} in {out}; "
        f"scored by {mined.model}. The column `reason` says why each was chosen.",
        markup=False,
    )


def _mined(console: Console, settings: Settings, window: str | None) -> Mined:
    """Mine with progress, until the end or until a signal asks to stop."""
    from serm.cli.progress import RunProgress
    from serm.cli.stopping import AFTER_STEP, controlled

    with RunProgress(console) as progress:
        from serm.graphs import mine as run  # takes seconds: what is wrong with the config was said before
        from serm.llm.brake import StopRequestedError

        with controlled(progress, AFTER_STEP.format(what="the agents' turns")) as (control, stop):
            try:
                return run(settings, window, progress, control=control)
            except (StopRequestedError, KeyboardInterrupt):
                progress.say(
                    "Stopped; nothing is written. The same command goes on from here.", style="yellow"
                )
                raise typer.Exit(stop.exit_code or 130) from None
