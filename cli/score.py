"""`serm score`: pairs scored by the model in use, for a ranking, an index or a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.given import Column, Corpus, Pairs, Queries, given_source, rejects_beside
from serm.cli.options import Config, Version

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from serm.core.settings import Settings
    from serm.core.settings_data import Source


def add_to(app: typer.Typer) -> None:
    app.command("score")(score)


def score(
    config: Config,
    pairs: Pairs,
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Ends on .parquet, .csv, .jsonl, or .run (TREC, ranked)."),
    ],
    version: Version = None,
    queries: Queries = None,
    corpus: Corpus = None,
    column: Column = None,
) -> None:
    """Score pairs with the champion, or with another version. Needs no lock: a run may go on meanwhile."""
    from rich.console import Console

    from serm.cli.load import load_settings
    from serm.cli.outputs import files_of, require_apart
    from serm.storage.scores_io import check_scores_path, write_scores

    check_scores_path(out)
    settings = load_settings(config)
    read = {"PAIRS": pairs, "--queries": queries, "--corpus": corpus}
    require_apart({"--out": out}, read | files_of(settings, config))
    source = given_source(pairs, queries, corpus, column)
    console = Console(emoji=False, soft_wrap=True, highlight=False, markup=False)

    from serm.graphs.in_use import find_weights  # takes seconds: what is wrong with the words was said before
    from serm.storage.workspace import Workspace

    weights = find_weights(Workspace.read(settings.workspace_path, settings), version)
    scores = _scores(console, settings, source, weights.folder, out)
    write_scores(scores, out, f"serm-v{weights.version}")
    of = f"{len(scores):,} pairs of {scores['query_id'].nunique():,} queries"
    console.print(f"{of} scored by version {weights.version} ({weights.model_id}): {out}.")
    for line in _measured(scores, settings):
        console.print(line)


def _scores(console: Console, settings: Settings, source: Source, weights: Path, out: Path) -> pd.DataFrame:
    """query_id, doc_id, grade (a human's, where the file has one), score, p0 to p3: a row a pair."""
    import pandas as pd
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from serm.core.columns import KEY
    from serm.relevance_model.loading import load_model
    from serm.relevance_model.scoring import scored_chunks
    from serm.storage.pairs import first_of_each
    from serm.storage.readers import read_source

    model = load_model(weights, settings.model, None)
    counter = (SpinnerColumn(), TextColumn("{task.completed:,} pairs scored"))
    say: Callable[[str], None] = console.print
    with (
        rejects_beside(out, source, say) as rejects,
        Progress(*counter, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task, parts = progress.add_task("", total=None), []
        chunks = read_source(source, settings, rejects)
        for part in scored_chunks(model, chunks, (*KEY, "grade", "file", "row")):
            parts.append(part)
            progress.advance(task, len(part))
        frame = first_of_each(pd.concat(parts, ignore_index=True), rejects)
    return frame.drop(columns=["file", "row"])


def _measured(scores: pd.DataFrame, settings: Settings) -> Iterator[str]:
    """A line on what human grades of the file say of the scores, where it has some."""
    import numpy as np

    from serm.cli.format import count
    from serm.core.columns import DISTRIBUTION
    from serm.evals.evaluate import evaluate, intervals
    from serm.relevance_model.base import Scores

    graded = scores.dropna(subset=["grade"])
    if graded.empty:
        return
    of = Scores(graded[[*DISTRIBUTION]].to_numpy(np.float32), graded["score"].to_numpy(np.float32))
    found = evaluate(graded.assign(grade=graded["grade"].astype(int)), of)
    if not found.queries:
        yield "No query has more than one grade: there is nothing to measure the ranking by."
        return
    asked = settings.evaluation
    told = intervals(found, level=asked.level, resamples=asked.resamples, seed=settings.random_seed)
    figures = ", ".join(
        f"{name.upper()} {told[name].mean:.3f} [{told[name].low:.3f}, {told[name].high:.3f}]"
        for name in found.ndcg
    )
    yield f"By its grades, {count(found.queries, 'query', 'queries')} with more than one: {figures}."
    yield (
        f"In brackets {asked.level:.0%} intervals. Grades that the model was trained on say nothing of "
        "queries to come."
    )
