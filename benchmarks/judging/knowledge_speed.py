"""How fast judges search: `python -m serm.benchmarks.judging.knowledge_speed`.

Vectors are random around random centres, as long as MiniLM's; texts are made up. What is measured is Chroma
and what stands around it, without an encoder and a model: the time to fill it and to search, the share of the
truly nearest passages that a search finds, and how late an event loop gets while judges search in threads.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from serm.core.records import Pair
from serm.storage.chroma import Floats
from serm.storage.knowledge import Knowledge, open_knowledge
from serm.tools.knowledge import SearchDesk

DIMENSIONS, CENTRES, SPREAD = 384, 200, 1.0
JUDGED = 1_000
SEARCHES = 500
FOUND = 4
PAIR = Pair("query", "document", "a query", "a document of nobody")


class Random:
    """Fulfils `Embedder`: a vector drawn from the number that a text ends with."""

    id = "random"

    def __init__(self) -> None:
        self._centres = np.random.default_rng(0).normal(size=(CENTRES, DIMENSIONS))

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        rows = []
        for text in texts:
            number = int(text.rsplit(" ", 1)[1])
            noise = np.random.default_rng(number).normal(size=DIMENSIONS)
            rows.append(self._centres[number % CENTRES] + SPREAD * noise)
        vectors = np.asarray(rows, dtype=np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        return self.embed_documents(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=16)
    arguments = parser.parse_args()
    embed, texts = Random(), [f"{'a passage of the stream ' * 10}{n}" for n in range(arguments.passages)]
    pairs = pd.DataFrame({"text": texts})
    labels = pairs.head(JUDGED).assign(query_id="q", query="a query", grade=1, outcome="unanimous")
    labels["doc_id"] = [str(number) for number in range(len(labels))]
    queries = [f"query {10**7 + number}" for number in range(SEARCHES)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with open_knowledge(Path(folder), None, embed, pairs, labels) as knowledge:
            print(f"filled with {knowledge.sizes} in {time.perf_counter() - began:.1f} s")
            _one_by_one(knowledge, embed, texts, queries)
            asyncio.run(_in_threads(knowledge, queries, arguments.in_flight))
        began = time.perf_counter()
        open_knowledge(Path(folder), None, embed, pairs, labels).close()
        print(f"filled again, with nothing to add, in {time.perf_counter() - began:.2f} s")


def _one_by_one(knowledge: Knowledge, embed: Random, texts: list[str], queries: list[str]) -> None:
    took, hits = [], 0
    vectors = embed.embed_documents(texts)
    for query in queries:
        began = time.perf_counter()
        found = knowledge.search(query, FOUND, PAIR)
        took.append(1_000 * (time.perf_counter() - began))
        nearest = np.argsort(vectors @ embed.embed_queries([query])[0])[::-1][:FOUND]
        hits += len({texts[row] for row in nearest} & {passage.text for passage in found.passages})
    median, late = np.percentile(took, [50, 95])
    print(f"a search of both collections: median {median:.1f} ms, 95th percentile {late:.1f} ms")
    print(f"of the {FOUND} truly nearest passages a search finds {hits / FOUND / len(queries):.1%}")


async def _in_threads(knowledge: Knowledge, queries: list[str], in_flight: int) -> None:
    """As judges search, through the tool, while a clock ticks on the same loop."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(1_000 * (time.perf_counter() - began) - 1)

    async def work(mine: list[str]) -> None:
        for query in mine:
            tool = SearchDesk(knowledge, PAIR, FOUND, 1).tool
            await asyncio.to_thread(tool.invoke, {"query": query})

    clock = asyncio.create_task(tick())
    began = time.perf_counter()
    await asyncio.gather(*(work(queries[start::in_flight]) for start in range(in_flight)))
    rate = len(queries) / (time.perf_counter() - began)
    clock.cancel()
    print(f"{in_flight} judges at a time: {rate:.0f} searches a second")
    print(f"the loop was late by {np.median(late):.1f} ms in the median, {max(late):.0f} ms at most")


if __name__ == "__main__":
    main()
