"""`serm drift`: whether the queries of a window have drifted, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serm.cli.options import Config, Window

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from serm.graphs.drift import WindowDrift


def add_to(app: typer.Typer) -> None:
    app.command("drift")(drift)


def drift(
    config: Config,
    *,
    window: Window = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw a map of the queries.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether a window's queries differ from earlier ones, and which are new, growing or dying."""
    import json

    from rich.console import Console

    from serm.cli.load import load_settings
    from serm.cli.outputs import files_of, require_apart

    settings = load_settings(config)  # before what takes seconds to import
    require_apart({"--png": png, "--html": html}, files_of(settings, config))

    from serm.cli.drift_report import drift_json
    from serm.graphs.drift import drift_of
    from serm.graphs.standing import looked_at, standing, window_number

    with looked_at(settings) as resources:
        number = window_number(resources.dataset, window)
        found = drift_of(resources, standing(resources, number, trained=False))
        if png is not None:
            from serm.cli.drift_map import draw_map

            draw_map(found, png)
        if html is not None:
            from serm.cli.drift_report import write_page

            write_page(found, html)
    if as_json:
        print(json.dumps(drift_json(found), ensure_ascii=False, indent=2))
        return
    _tell(Console(emoji=False, soft_wrap=True, highlight=False), found)
    for name in (png, html):
        if name is not None:
            print(f"Written: {name}")


def _tell(console: Console, found: WindowDrift) -> None:
    from serm.cli.drift_report import headline, shift_rows

    console.print(headline(found), markup=False)
    for shift, note in shift_rows(found):
        line = f"  {shift.test:<11} p {shift.p_value:.2g}   {shift.effect:.3f} {shift.measure}{note}"
        console.print(line, markup=False)
    if found.drift.regions:
        console.print(_regions(found))
        for region, facts in zip(found.drift.regions, found.facts, strict=True):
            console.print(f"  {region.kind}: {' | '.join(facts.examples)}", markup=False)


def _regions(found: WindowDrift) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from serm.cli.drift_report import region_rows

    rows: list[dict[str, Any]] = region_rows(found)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("region", overflow="fold")
    for heading in ("before", "now", "growth", "p", "entropy"):
        table.add_column(heading, justify="right")
    table.add_column("languages")
    for row in rows:
        table.add_row(
            Text(f"{row['kind']}  {row['name']}"),
            f"{row['before']:,}",
            f"{row['now']:,}",
            row["growth_told"],
            f"{row['p_value']:.1g}",
            "-" if row["uncertainty"] is None else f"{row['uncertainty']:.2f}",
            Text(row["languages_told"]),
        )
    return table
