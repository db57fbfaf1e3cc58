"""`serm agreement`: labels, and the judges behind them, against human grades."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command("agreement")(agreement)


def agreement(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Labels: Parquet, JSONL, CSV or TREC qrels.")
    ],
    *,
    gold: Annotated[
        Path,
        typer.Option("--gold", metavar="PAIRS", help="Pairs with human grades: query_id, doc_id, grade."),
    ],
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw the confusion matrices.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    level: Annotated[float, typer.Option("--level", help="Confidence of the intervals.")] = 0.95,
    resamples: Annotated[
        int, typer.Option("--resamples", min=100, help="Bootstrap draws of queries.")
    ] = 1000,
) -> None:
    """Say how often labels are right: accuracy, kappa, by grade, calibration, what a kept one costs."""
    import json

    from rich.console import Console

    from serm.cli.agreement_tables import tables
    from serm.core.errors import ConfigError
    from serm.evals.agreement import agreement as measure
    from serm.evals.rater import Draws
    from serm.storage.gold import read_gold
    from serm.storage.labels_io import read_labels_any

    if not 0.5 < level < 1:
        raise ConfigError(f"--level is {level}.", "A confidence lies between 0.5 and 1, as 0.95.")
    report = measure(read_labels_any(labels), read_gold(gold), Draws(level, resamples))
    if png is not None:
        from serm.cli.agreement_plot import draw

        draw(report, png)
    if as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False, indent=2))
        return
    console = Console(emoji=False, soft_wrap=True)
    for part in tables(report):
        console.print(part)
    if png is not None:
        console.print(f"Confusion matrices: {png}", markup=False, highlight=False)
