"""`serm audit`: has the model decayed, where, and how sure is that, before any money is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serm.cli.options import Config, Window

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from serm.core.records import Interval
    from serm.evals.decay import Change, Measured
    from serm.graphs.audit import Audit, Slice


def add_to(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    config: Config,
    *,
    window: Window = None,
    grades: Annotated[
        Path | None,
        typer.Option(
            "--grades", metavar="FILE", help="Human grades of the window's pairs, by query_id, doc_id."
        ),
    ] = None,
    ask: Annotated[
        Path | None,
        typer.Option("--ask", metavar="FILE.csv", help="Write pairs for people to grade, for --grades."),
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="How many pairs --ask writes, about.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Say whether the model in use ranks a window worse than what came before, where, and how surely."""
    import json

    from rich.console import Console

    from serm.cli.load import load_settings
    from serm.cli.outputs import files_of, require_apart, require_no_grades
    from serm.core.errors import ConfigError

    settings = load_settings(config)
    if ask is not None:
        if ask.suffix.lower() != ".csv":
            raise ConfigError(f"--ask {ask}: it writes CSV alone.", "Give it a name that ends in .csv.")
        require_apart({"--ask": ask}, {"--grades": grades} | files_of(settings, config))
        require_no_grades("--ask", ask, "Take them in by `--grades`, or give another name.")
    given = _read_grades(grades) if grades is not None else None

    from serm.graphs.audit import audit as run  # takes seconds: what is wrong with the config was said before
    from serm.graphs.audit import pairs_to_grade
    from serm.graphs.standing import looked_at, standing, window_number
    from serm.storage.artifacts import write_file
    from serm.storage.csv_file import shown_cell, to_csv

    with looked_at(settings) as resources:
        number = window_number(resources.dataset, window)
        found = run(resources, standing(resources, number, trained=True), given)
        asked = pairs_to_grade(found.found, pairs, settings.random_seed) if ask is not None else None
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
    else:
        _tell(Console(emoji=False, soft_wrap=True, highlight=False), found, settings.gate.margin)
    if ask is not None and asked is not None:
        texts = ["query", "title", "text"]
        frame = asked.assign(**{name: asked[name].fillna("").map(shown_cell) for name in texts})
        write_file(ask, lambda place: to_csv(frame, place))
        if not as_json:
            print(f"{len(frame)} pairs of {frame['query_id'].nunique()} queries, drawn at random, in {ask}.")


def _read_grades(path: Path) -> pd.DataFrame:
    """Rows with a grade. Raises DataError that names the file, and the row and field where one is wrong."""
    import pandas as pd

    from serm.core.columns import KEY
    from serm.core.errors import DataError
    from serm.core.records import GRADES
    from serm.storage.csv_file import separator_of

    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            none = {"grade": ["", "NA", "NaN", "nan"]}  # of the grade alone: an id may well be `NA`
            with path.open(encoding="utf-8-sig") as file:
                mark = separator_of(file.readline())
            frame = pd.read_csv(
                path,
                dtype=dict.fromkeys(KEY, str),
                keep_default_na=False,
                na_values=none,
                sep=mark,
                encoding="utf-8-sig",
            )
    except (OSError, ValueError) as error:
        remedy = "Give a .csv or .parquet file."
        raise DataError(f"the grades cannot be read: {error}", remedy, file=path) from error
    missing = [name for name in (*KEY, "grade") if name not in frame]
    if missing:
        raise DataError(f"the column {missing[0]} is missing.", "`--ask` writes a file that fits.", file=path)
    frame = frame.dropna(subset=["grade"])
    number = pd.to_numeric(frame["grade"], errors="coerce")
    wrong = ~number.isin(GRADES)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"{frame['grade'].iloc[row]!r} is no grade.",
            "Grades are 0, 1, 2 and 3; leave a pair without one empty.",
            file=path,
            row=int(frame.index[row]) + 1,
            field="grade",
        )
    graded = frame.assign(grade=number.astype(int)).astype(dict.fromkeys(KEY, str))
    graded = graded.drop_duplicates([*KEY, "grade"])
    twice = graded.duplicated(list(KEY)).to_numpy()
    if twice.any():
        query, doc = graded[list(KEY)].iloc[int(twice.argmax())]
        raise DataError(
            f"query {query!r}, document {doc!r} has two grades.",
            "Give each pair one grade: where two people graded it, the one that they agree on.",
            file=path,
            row=int(graded.index[int(twice.argmax())]) + 1,
            field="grade",
        )
    return graded


def _tell(console: Console, found: Audit, margin: float) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from serm.cli.drift_report import headline
    from serm.cli.format import count

    console.print(headline(found.found), markup=False)
    console.print(_sentence(found, margin), markup=False)
    if found.unlike is not None:
        console.print(
            "The stream is not like the gate's queries of this window: the model expects "
            f"{_mean(found.unlike.now)} of the one and {_mean(found.unlike.before)} of the other. Here the "
            "stream's queries are held against the gate's of before, and a part of the change may be that "
            "difference.",
            markup=False,
        )
    if found.elsewhere:
        console.print(f"{count(found.elsewhere, 'given grade')} of no pair of this window: left out.")
    if found.in_part:
        console.print(
            f"{count(found.in_part, 'query', 'queries')} graded in part count as not graded: NDCG of a part "
            "of a list is not that of the list."
        )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("where", overflow="fold")
    for heading in ("queries", "graded", "before", "now", "change"):
        table.add_column(heading, justify="right")
    table.add_column("so")
    for part in found.slices:
        change = part.change
        table.add_row(
            Text(f"{part.kind} {part.name}"),
            f"{part.queries:,}",
            str(change.now.graded or "-"),
            _mean(change.before),
            _mean(change.now),
            _points(change.change),
            _so(change),
        )
    console.print(table)
    level = found.slices[0].change.change.level
    console.print(
        f"NDCG@4 in points, with {level:.0%} intervals over queries. `graded`: queries with human grades; "
        "without, both figures are what the model expects of itself: right as far as its calibration holds. "
        f"{count(len(found.slices) - 1, 'row')} below the first, each at {level:.0%} by itself.",
        markup=False,
    )


def _sentence(found: Audit, margin: float) -> str:
    change = found.slices[0].change
    basis = (
        f"by {found.human_grades:,} human grades of the window"
        if change.measured
        else "by the model's own expectation, without human grades"
    )
    if change.change.n < 2:
        return (
            f"It cannot be told whether the model has decayed: {change.now.interval.n} and "
            f"{change.before.interval.n} queries, now and before, are too few to compare."
        )
    reach = (change.change.high - change.change.low) / 2
    told = {
        "decayed": f"The model has decayed: {_points(change.change)} points NDCG@4, {basis}.",
        "holds": f"The model holds: {_points(change.change)} points NDCG@4, {basis}; margin "
        f"{100 * margin:.1f}.",
        "cannot tell": f"It cannot be told whether the model has decayed: {_points(change.change)} points "
        f"NDCG@4, {basis}. A change under {100 * reach:.1f} points goes unseen.",
    }
    return told[change.verdict]


def _so(change: Change) -> str:
    if not change.before.interval.n:
        return f"{change.verdict} (nothing like it before)"
    return change.verdict if change.measured else f"{change.verdict} (expected)"


def _mean(side: Measured) -> str:
    return f"{100 * side.interval.mean:.1f}" if side.interval.n else "-"


def _points(interval: Interval) -> str:
    if interval.n < 2:
        return "-"
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _as_json(found: Audit) -> dict[str, Any]:
    from serm.cli.drift_report import drift_json
    from serm.evals.plain import plain

    value: dict[str, Any] = plain(
        {
            "window": found.found.window,
            "model": found.found.model,
            "human_grades": found.human_grades,
            "grades_elsewhere": found.elsewhere,
            "graded_in_part": found.in_part,
            "stream_less_gate": None if found.unlike is None else _interval(found.unlike.change),
            "slices": [_slice_json(part) for part in found.slices],
            "drift": drift_json(found.found),
        }
    )
    return value


def _slice_json(part: Slice) -> dict[str, Any]:
    change = part.change
    return {
        "kind": part.kind,
        "name": part.name,
        "queries": part.queries,
        "measured": change.measured,
        "graded": change.now.graded,
        "verdict": change.verdict,
        "now": _interval(change.now.interval),
        "before": _interval(change.before.interval),
        "change": _interval(change.change),
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}
