"""`serm demo`: three rounds of the loop on a simulated marketplace."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo() -> None:
    """Run three rounds on a built-in simulated marketplace; run again it goes on or says that it is done."""
    from serm.benchmarks.demo import run_demo

    run_demo()
