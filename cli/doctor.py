"""`serm doctor`: says what is wrong before hours are spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from serm.cli.format import clean
from serm.cli.options import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serm.cli.checks import Finding
    from serm.core.settings import Settings


def add_to(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(config: Config) -> None:
    """Check config, data, model, judges and services: a sentence each. Leaves with 1 where one fails."""
    from rich.console import Console
    from rich.markup import escape

    from serm.cli.checks import Status
    from serm.cli.load import load_settings

    styles = {Status.PASS: ("✓", "green"), Status.WARN: ("!", "yellow"), Status.FAIL: ("✗", "bold red")}
    console = Console(emoji=False, soft_wrap=True, highlight=False)
    seen: dict[Status, int] = dict.fromkeys(Status, 0)
    settings = load_settings(config)
    console.print(f"[green]✓ pass[/green]  config      {escape(str(config))} is a valid config.", markup=True)
    seen[Status.PASS] += 1
    for finding in examine(settings):
        seen[finding.status] += 1
        sign, style = styles[finding.status]
        console.print(f"{sign} {finding.status.value}", style=style, end="")
        console.print(f"  {finding.area:<10}  {clean(finding.sentence)}", markup=False)
        if finding.remedy:
            console.print(f"{'':<20}{clean(finding.remedy)}", style="dim", markup=False)
    console.print(f"{seen[Status.PASS]} passed, {seen[Status.WARN]} warnings, {seen[Status.FAIL]} failed.")
    if seen[Status.FAIL]:
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order in which its failing would stop a run."""
    from serm.cli import check_agents, check_data, check_gate, check_judges, check_model, check_services
    from serm.cli.checks import Examination, Finding, Patient, Status

    with Patient(settings) as patient:
        examination = Examination(patient)
        alone = not settings.data.sources
        if alone:
            sentence = "the config names no data: it is for `serm annotate` alone."
            yield Finding("data", Status.WARN, sentence, "`serm evolve` needs `data.sources`.")
        for area, check, needs_data in (
            ("data", check_data.check_input, False),
            ("past", check_data.check_past, True),
            ("sets", check_data.check_sets, True),
            ("separation", check_data.check_separation, True),
            ("gate", check_gate.check_gate, True),
            ("model", check_model.check_model, False),
            ("language", check_model.check_languages, True),
            ("judges", check_judges.check_judges, False),
            ("coverage", check_judges.check_coverage, True),
            ("agents", check_agents.check_agents, False),
            ("workspace", check_services.check_workspace, False),
            ("disk", check_services.check_disk, True),
            ("database", check_services.check_database, False),
            ("mlflow", check_services.check_mlflow, False),
            ("knowledge", check_services.check_knowledge, False),
        ):
            if not alone or area in JUDGES_ALONE:
                yield from examination.run(area, check, needs_data=needs_data)


JUDGES_ALONE: Final = ("judges", "agents", "database")
"""What there is to look at where a config names judges and no data."""
