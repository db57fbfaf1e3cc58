"""`serm demo`: three rounds of the loop on a simulated marketplace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serm.cli.evolve import evolve


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo keeps its data, config and workspace.")
    ] = Path(".serm") / "demo",
) -> None:
    """Run three rounds on a built-in simulated marketplace; run again it goes on or says that it is done."""
    from serm.benchmarks.demo import prepare_demo

    evolve(prepare_demo(folder), rounds=None)
