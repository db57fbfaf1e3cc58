"""`serm benchmark`: arms against each other, over random seeds, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from serm.benchmarks.protocol import Protocol
    from serm.benchmarks.runs import Run


def add_to(app: typer.Typer) -> None:
    app.command("benchmark")(benchmark)


def benchmark(  # noqa: PLR0917
    protocol: Annotated[
        str,
        typer.Argument(metavar="PROTOCOL", help="A protocol's YAML file, or one of serm's own by its name."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where runs and tables go; .serm/benchmarks/NAME by default.")
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Random seeds, comma-separated; the protocol's by default.")
    ] = "",
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Only these arms; may be given again.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Runs at a time; each gets its share of the cores.")
    ] = 1,
    tables_only: Annotated[
        bool, typer.Option("--tables", help="Run nothing: write the tables of what is done.")
    ] = False,
) -> None:
    """Run every arm of a protocol under every seed, and compare them. Run again it goes on from there."""
    from rich.console import Console

    from serm.benchmarks.protocol import read_protocol
    from serm.benchmarks.run_record import require_same
    from serm.benchmarks.runner import RunFailedError, run_protocol
    from serm.benchmarks.runs import runs_of
    from serm.core.errors import ConfigError, SermError

    console = Console(emoji=False, soft_wrap=True)
    stated = read_protocol(protocol)
    folder = out or Path(".serm") / "benchmarks" / stated.name
    wanted = list(dict.fromkeys(arms or stated.arms))
    unknown = [arm for arm in wanted if arm not in stated.arms]
    if unknown:
        raise ConfigError(
            f"protocol `{stated.name}` has no arm `{unknown[0]}`.", f"Its arms: {', '.join(stated.arms)}."
        )
    chosen = _seeds(seeds) or stated.seeds
    runs = runs_of(folder, wanted, chosen, stated.folds)
    console.print(
        f"{len(runs)} runs of {stated.name} in {folder}, {sum(run.done for run in runs)} of them done",
        markup=False,
    )
    failure: RunFailedError | None = None
    if tables_only:
        require_same(stated, runs, folder)
    else:
        try:
            run_protocol(
                stated.file, folder, runs, jobs=jobs, tell=lambda line: console.print(line, markup=False)
            )
        except RunFailedError as error:
            failure = error  # told after the tables of the others
    try:
        _write(console, stated, folder, runs)
    except SermError as error:
        if failure is None:
            raise
        console.print(f"No tables: {error}", markup=False, highlight=False)
    if failure is not None:
        raise failure


def _write(console: Console, protocol: Protocol, folder: Path, runs: Sequence[Run]) -> None:
    """The tables of the runs that are done, where any is, and the same in MLflow."""
    from serm.benchmarks.report import write_report
    from serm.core.errors import SermError

    if not any(run.done for run in runs):
        return
    files = write_report(protocol, folder, runs)
    for file in files:
        console.print(f"wrote {file}", markup=False, highlight=False)
    from serm.benchmarks.mlflow_log import log_benchmark  # takes a second to import

    try:
        uri = log_benchmark(protocol, folder, runs, files)
        console.print(f"in MLflow: {uri}, experiment {protocol.name}", markup=False, highlight=False)
    except SermError as error:  # the tables are there
        console.print(f"Not in MLflow: {error}", markup=False, highlight=False)


def _seeds(text: str) -> tuple[int, ...]:
    from serm.core.errors import ConfigError

    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError:
        raise ConfigError(
            f"--seeds {text}: a seed is a whole number.", "Write for instance `--seeds 1,2,3`."
        ) from None
