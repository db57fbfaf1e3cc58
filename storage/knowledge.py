"""What judges may look up: documents of the stream so far, and pairs that the panel has agreed on before.

Both lie in Chroma, as vectors of one encoder that stays the same for a whole run. A search is bound to the
pair that is being judged: neither its own document nor an earlier label of itself is ever found.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, Self

import pandas as pd

from serm.core.columns import KEY, document_text
from serm.core.hashing import digest, digest_texts
from serm.core.records import Pair
from serm.storage.artifacts import write_json
from serm.storage.chroma import Chroma, Collection, Floats, Progress, Row, silent

SHOWN: Final = 1_000
"""Characters of a document that are kept beside its vector, chosen: a judge is shown fewer."""
QUERIES: Final = 4_096
"""Vectors of queries that are kept in memory, chosen: judges search for the same things."""


class Embedder(Protocol):
    """Texts to unit vectors; a relevance model is one."""

    @property
    def id(self) -> str:
        """Names the weights: vectors of another encoder are never mixed with these."""

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """(n, d) unit vectors."""

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """(n, d) unit vectors."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A document of the stream."""

    text: str  # its first characters
    similarity: float  # cosine, as the encoder sees it


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A pair that the panel agreed on in an earlier round."""

    query: str
    document: str  # its first characters
    grade: int
    outcome: str  # how the panel came to it
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, the nearest first."""

    passages: tuple[Passage, ...] = ()
    judged: tuple[JudgedPair, ...] = ()


class Searchable(Protocol):
    """What a judge that is an agent needs of a knowledge base."""

    @property
    def version(self) -> str:
        """Names all that a search can depend on: part of the cache key of a judge that searches."""

    def search(self, query: str, count: int, pair: Pair) -> Found:
        """At most `count` passages and as many judged pairs, `pair` and its document not among them."""


class NoKnowledge:
    """A knowledge base that is empty: for showing that a judge calls its tools."""

    version = ""

    def search(self, query: str, count: int, pair: Pair) -> Found:  # noqa: ARG002
        return Found()


class Knowledge:
    """A filled knowledge base; `open_knowledge` makes one. Safe to search from several threads."""

    def __init__(
        self, chroma: Chroma, passages: Collection, judged: Collection, embed: Embedder, version: str
    ) -> None:
        self.version = version
        self._chroma, self._passages, self._judged = chroma, passages, judged
        self._vector = lru_cache(QUERIES)(lambda query: embed.embed_queries([query])[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of each collection."""
        return {"passages": len(self._passages), "judged": len(self._judged)}

    def search(self, query: str, count: int, pair: Pair) -> Found:
        vector = self._vector(query)
        document = document_of(pair)
        own, itself = _document_id(document), _pair_id(pair.query, document)
        passages = [
            Passage(row.shows, row.similarity)
            for row in self._passages.nearest(vector, count + 1)
            if row.id != own
        ]
        judged = [
            JudgedPair(
                row.about["query"], row.shows, row.about["grade"], row.about["outcome"], row.similarity
            )
            for row in self._judged.nearest(vector, count + 2)
            if row.about["pair"] != itself and (row.about["query_id"], row.about["doc_id"]) != pair.key
        ]
        return Found(tuple(passages[:count]), tuple(judged[:count]))

    def close(self) -> None:
        """Free the connection. Safe to call twice."""
        self._chroma.close()


def open_knowledge(
    folder: Path,
    url: str | None,
    embed: Embedder,
    pairs: pd.DataFrame,
    labels: pd.DataFrame | None = None,
    *,
    progress: Progress = silent,
) -> Knowledge:
    """Open the knowledge base and make it hold these documents and labels, and nothing else.

    `folder` is where it lives, or where a server (`url`) has it, its name there. `pairs` needs `text`, and
    `title` where there is one; `labels` needs query_id, doc_id, query, text, grade and outcome, and has
    kept labels only: hand in nothing that a judge may not see. What is there already is not embedded again.
    Raises WorkspaceLockedError, StorageError and ConfigError as `Chroma` does.
    """
    documents, judged = passage_rows(pairs), judged_rows(labels)
    encoder, space = digest(embed.id), "serm" if url is None else _space(folder)
    chroma = Chroma(folder, url)
    try:
        collections = (
            chroma.collection(f"{space}-passages", encoder),
            chroma.collection(f"{space}-judged", encoder),
        )
        for collection, rows in zip(collections, (documents, judged), strict=True):
            collection.hold(rows, embed.embed_documents, progress)
    except BaseException:
        chroma.close()
        raise
    version = digest_texts([embed.id, *sorted(documents), "judged", *sorted(judged)])
    return Knowledge(chroma, *collections, embed, version)


def passage_rows(pairs: pd.DataFrame) -> dict[str, Row]:
    """One row for each different document, named by the hash of its title and text."""
    titles = pairs["title"] if "title" in pairs else [""] * len(pairs)
    texts = dict.fromkeys(document_text(titles, pairs["text"]))
    return {_document_id(text): Row(text, text[:SHOWN]) for text in texts}


def judged_rows(labels: pd.DataFrame | None) -> dict[str, Row]:
    """One row for each different pair of texts, the last label where there are several."""
    if labels is None:
        return {}
    titles = labels["title"] if "title" in labels else [""] * len(labels)
    documents = document_text(titles, labels["text"])
    columns = (labels[name].tolist() for name in (*KEY, "query", "grade", "outcome"))
    rows: dict[str, Row] = {}
    for document, query_id, doc_id, query, grade, outcome in zip(documents, *columns, strict=True):
        about: Mapping[str, str | int] = {
            "pair": _pair_id(query, document),
            "query_id": query_id,
            "doc_id": doc_id,
            "query": query[:SHOWN],
            "grade": int(grade),
            "outcome": str(outcome),
        }
        rows[str(about["pair"])] = Row(f"{query}\n{document}", document[:SHOWN], about)
    return {digest(row.about): row for row in rows.values()}


def _space(folder: Path) -> str:
    """What names this knowledge base among others on a server: neither another machine's folder of the same
    path nor a copy of this one may be taken for it."""
    file = folder / "id"
    if not file.is_file():
        write_json(file, uuid.uuid4().hex)
    return f"serm-{digest([file.read_text(encoding='utf-8'), str(folder.resolve())])}"


def document_of(pair: Pair) -> str:
    """A pair's document as encoders read it."""
    return document_text([pair.title], [pair.text])[0]


def _document_id(document: str) -> str:
    return digest_texts([document])


def _pair_id(query: str, document: str) -> str:
    return digest_texts([query, document])
