"""`serm demo`: three rounds of the loop on a simulated marketplace."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo() -> None:
    """Run three rounds on a built-in simulated marketplace; run again it goes on or says that it is done."""
    from serm.benchmarks.demo import prepare_demo
    from serm.cli.evolve import watch

    print("A simulated marketplace: its queries, clicks and judges are made up. See docs/marketplace.md.")
    watch(prepare_demo())
