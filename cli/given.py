"""A file of pairs that the user gives to a command: what its columns are called, and its bad rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serm.core.settings_data import Source
    from serm.storage.rejects import RejectLog

Pairs = Annotated[
    Path, typer.Argument(metavar="PAIRS", help="Parquet, JSONL, CSV, a BEIR folder, TREC qrels or a run.")
]
Queries = Annotated[Path | None, typer.Option("--queries", help="TREC: the texts of queries.")]
Corpus = Annotated[Path | None, typer.Option("--corpus", help="TREC: the texts of documents.")]
Column = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="Rename a column; repeatable.")
]


def given_source(
    pairs: Path, queries: Path | None, corpus: Path | None, column: Sequence[str] | None, name: str = ""
) -> Source:
    """The source that PAIRS, --queries, --corpus and --column name. Raises ConfigError for a --column that
    renames nothing."""
    from serm.core.settings_data import Source

    return Source(
        pairs=pairs.absolute(),
        name=name,
        queries=None if queries is None else queries.absolute(),
        corpus=None if corpus is None else corpus.absolute(),
        columns=dict(_renamed(item) for item in column or ()),
    )


@contextmanager
def rejects_beside(
    out: Path, source: Source, say: Callable[[str], None], role: str = ""
) -> Iterator[RejectLog]:
    """Where the source's bad rows go: a file beside `out`, which goes again where there is none. `role` keeps
    it apart from that of a file by the same name in another folder."""
    from serm.cli.format import count
    from serm.storage.artifacts import storage_errors
    from serm.storage.rejects import RejectLog

    with storage_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f"{out.name}.{source.pairs.stem}.{role}rejects.jsonl")
    with RejectLog(file) as rejects:
        try:
            yield rejects
        finally:
            rejects.close()
            if not rejects.count:
                file.unlink()
    if rejects.count:
        say(f"{count(rejects.count, 'row')} of {source.pairs} left out: {file} says why.")


def _renamed(text: str) -> tuple[str, str]:
    from serm.core.errors import ConfigError

    ours, equals, theirs = text.partition("=")
    if not equals or not ours or not theirs:
        raise ConfigError(f"`--column {text}` renames nothing.", "Write OURS=THEIRS, as in text=passage.")
    return ours, theirs
