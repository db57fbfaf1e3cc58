"""What the tests of the knowledge base share: pairs, a pair of nobody's, an embedder that counts."""

from __future__ import annotations

from collections.abc import Sequence

from small_world import make_pairs

from serm.core.records import Pair
from serm.storage.chroma import Floats
from serm.storage.knowledge import Embedder

PAIRS = make_pairs(queries_per_month=4)
STRANGER = Pair("nobody", "nothing", "a query of nobody", "a text of nobody")


class Counting:
    """An embedder that counts what it is asked to read."""

    def __init__(self, inner: Embedder, id: str = "") -> None:
        self.inner, self.id = inner, id or inner.id
        self.documents: list[str] = []
        self.queries: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        self.documents += texts
        return self.inner.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        self.queries += texts
        return self.inner.embed_queries(texts)
