"""Small inputs for the tests of reading and ingestion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from knowledge_world import PAIRS

from serm.core import Settings
from serm.core.records import Reject
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.loading import open_base
from serm.storage.dataset import DataSet
from serm.storage.ingest import ingest
from serm.storage.readers import read_source
from serm.storage.rejects import RejectLog, read_rejects
from serm.storage.workspace import Workspace

Row = dict[str, Any]
Read = Callable[..., tuple[pd.DataFrame, list[Reject]]]


def row(query: int = 1, doc: int = 1, /, **values: Any) -> Row:
    """One good row, with what a test says changed."""
    return {
        "query_id": f"q{query}",
        "doc_id": f"d{doc}",
        "query": f"query {query}",
        "text": f"text of {doc}",
        **values,
    }


@pytest.fixture
def good_row() -> Callable[..., Row]:
    return row


@pytest.fixture
def many_rows() -> Callable[..., list[Row]]:
    """`queries` queries of `documents` documents each, all graded."""

    def make(queries: int, documents: int = 2, first: int = 0, **values: Any) -> list[Row]:
        return [
            row(query, doc, grade=(query + doc) % 4, **values)
            for query in range(first, first + queries)
            for doc in range(documents)
        ]

    return make


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """Settings over the file pairs.parquet in tmp_path, or over the `sources` that are given."""

    def make(**data: Any) -> Settings:
        values = {"workspace": "work", "data": {"sources": [{"pairs": "pairs.parquet"}], **data}}
        return Settings.from_mapping(values, folder=tmp_path, environment={})

    return make


@pytest.fixture
def read(tmp_path: Path, settings_of: Callable[..., Settings]) -> Read:
    """Read one source to the end: the good rows, and the rejects as their file tells them."""

    def run(pairs: Path | str, chunk: int = 1_000, **source: Any) -> tuple[pd.DataFrame, list[Reject]]:
        settings = settings_of(sources=[{"pairs": str(pairs), **source}])
        with RejectLog(tmp_path / "rejects.jsonl") as log:
            chunks = list(read_source(settings.data.sources[0], settings, log, chunk))
        return pd.concat(chunks, ignore_index=True), list(read_rejects(log.path))

    return run


@pytest.fixture
def ingested(tmp_path: Path, settings_of: Callable[..., Settings]) -> Callable[..., DataSet]:
    """Write rows to pairs.parquet and ingest them in a workspace of their own."""

    def run(rows: list[Row], **data: Any) -> DataSet:
        pd.DataFrame(rows).to_parquet(tmp_path / "pairs.parquet")
        settings = settings_of(**data)
        with Workspace.open(settings) as workspace:
            return ingest(settings, workspace)

    return run


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Any:
    """The untrained relevance model of the small world: what a workspace embeds with."""
    settings = ModelSettings(base=str(tiny_encoder), max_length=32, device="cpu", precision="float32")
    return open_base(settings, None)


@pytest.fixture
def labels() -> pd.DataFrame:
    """The first 40 pairs, labelled by their human grades."""
    return PAIRS.head(40).assign(outcome="unanimous")
