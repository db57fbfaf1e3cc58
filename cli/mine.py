"""`serm mine`: what the miner would send to the judges, and why, without sending it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serm.cli.options import Config, Window
from serm.storage.table_files import TABLES


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
    from serm.cli.progress import RunProgress
    from serm.core.errors import ConfigError

    form = out.suffix.lower()
    if form not in TABLES:
        raise ConfigError(f"{out} has no format that is known.", f"End it in {', '.join(TABLES)}.")
    settings = load_settings(config)
    require_apart({"--out": out}, files_of(settings, config))

    from serm.graphs import mine as run  # takes seconds: what is wrong with the config was said before
    from serm.storage.artifacts import write_file

    console = Console(emoji=False, soft_wrap=True, highlight=False)
    with RunProgress(console) as progress:
        mined = run(settings, window, progress)

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
