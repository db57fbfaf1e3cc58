"""`serm score`: pairs scored by the model in use, for a ranking, an index or a comparison."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.given import Column, Corpus, Pairs, Queries, given_source, rejects_beside
from serm.cli.options import Config, Version

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from serm.core.settings import Settings
    from serm.graphs.in_use import Weights
    from serm.relevance_model.base import RelevanceModel


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
    from serm.storage.scores_io import check_scores_path

    check_scores_path(out)
    settings = load_settings(config)
    read = {"PAIRS": pairs, "--queries": queries, "--corpus": corpus}
    require_apart({"--out": out}, read | files_of(settings, config))
    source = given_source(pairs, queries, corpus, column)
    console = Console(emoji=False, soft_wrap=True, highlight=False, markup=False)

    from serm.core.columns import KEY  # from here on seconds: what is wrong with the words was said before
    from serm.relevance_model.scoring import scored_chunks
    from serm.storage.readers import read_source
    from serm.storage.scores_io import each_once, writable, write_scores

    weights, model = _opened(settings, version)
    scored = Scored()
    with rejects_beside(out, source, console.print) as rejects, _counter(console) as count_on:
        chunks = writable(each_once(read_source(source, settings, rejects), rejects), out)
        parts = scored.seen(scored_chunks(model, chunks, (*KEY, "grade")), count_on)
        write_scores(parts, out, f"serm-v{weights.version}")
    of = f"{scored.pairs:,} pairs of {len(scored.queries):,} queries"
    console.print(f"{of} scored by version {weights.version} ({weights.model_id}): {out}.")
    for line in _measured(scored.graded, settings):
        console.print(line)


class Scored:
    """What is kept of pairs whose scores are in the file: how many, their queries, and the rows that have a
    human's grade, by which the scores are measured."""

    def __init__(self) -> None:
        self.pairs = 0
        self.queries: set[str] = set()
        self.graded: list[pd.DataFrame] = []

    def seen(self, parts: Iterable[pd.DataFrame], count_on: Callable[[int], None]) -> Iterator[pd.DataFrame]:
        """The parts as they come."""
        for part in parts:
            self.pairs += len(part)
            self.queries.update(part["query_id"])
            self.graded.append(part.dropna(subset=["grade"]))
            count_on(len(part))
            yield part


def _opened(settings: Settings, version: int | None) -> tuple[Weights, RelevanceModel]:
    """The version, and its model over the vectors of the workspace, so that those of a run are not made
    again and a kill loses none; in memory alone where the workspace may only be read."""
    from serm.graphs.in_use import find_weights
    from serm.graphs.resources import shared_layers
    from serm.relevance_model.loading import load_model
    from serm.storage.workspace import Workspace

    workspace = Workspace.read(settings.workspace_path, settings)
    weights = find_weights(workspace, version)
    vectors = workspace.embeddings if os.access(workspace.embeddings, os.W_OK) else None
    # A run's vectors are made through these layers; states of ours would take the room of windows to come.
    layers = shared_layers(settings, workspace, add=False)
    model = load_model(weights.folder, settings.model, vectors, layers)
    return weights, model


@contextmanager
def _counter(console: Console) -> Iterator[Callable[[int], None]]:
    """Shows how many pairs are scored, on a terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    counter = (SpinnerColumn(), TextColumn("{task.completed:,} pairs scored"))
    with Progress(*counter, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda more: progress.advance(task, more)


def _measured(rows: list[pd.DataFrame], settings: Settings) -> Iterator[str]:
    """A line on what human grades of the file, here those rows that have one, say of the scores."""
    import numpy as np
    import pandas as pd

    from serm.cli.format import count
    from serm.core.columns import DISTRIBUTION
    from serm.evals.evaluate import evaluate, intervals
    from serm.relevance_model.base import Scores

    graded = pd.concat(rows, ignore_index=True)
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
