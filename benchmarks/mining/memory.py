"""A million pairs mined: peak memory and seconds of the processor, step by step.

python -m serm.benchmarks.mining.memory

A made-up window goes to a Parquet file, a block at a time, as ingestion writes it. Then it is read, scored,
mined by the default agents' rules and selected from, by the functions that a round uses. Vectors come from
a stub (random word vectors): what is measured is all that stands around an encoder. What MiniLM would take
to score the window, and to read pools of its most uncertain pairs under dropout, is estimated from some of
its texts, so that the rest can be set beside it. With `--encoder base` the default base model itself reads
every text: what a round has resident, at the price of its time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.agents.miners import mine_with
from serm.benchmarks.mining.passes_cost import ROUNDS, shares, timed_ways
from serm.benchmarks.mining.stub_encoder import stub_model
from serm.core.settings_loop import ModelSettings
from serm.core.settings_miner import MinerSettings
from serm.graphs.desks import mining_desk
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.loading import open_base
from serm.relevance_model.pairs import CodedPairs
from serm.storage.dataset import PAIRS_SCHEMA, read_coded
from serm.tools.desk import MiningDesk
from serm.tools.query_sample import QuerySample
from serm.tools.quotas import nomination_quotas
from serm.tools.selection import select

BLOCK: Final = 1_000  # queries that are written at a time
TOPICS: Final = 500
LANGUAGES: Final = ("en", "de", "es")
T = TypeVar("T")


class Meter:
    """Processor seconds of each step, and the most memory that the process ever had by its end."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def step(self, name: str, do: Callable[[], T]) -> T:
        began = process_time()
        value = do()
        self.rows.append(
            {"step": name, "seconds": round(process_time() - began, 1), "peak MB": round(peak())}
        )
        return value

    def after(self, name: str) -> list[str]:
        """The steps behind one."""
        steps = [str(row["step"]) for row in self.rows]
        return steps[steps.index(name) + 1 :]

    def seconds(self, *names: str) -> float:
        return float(sum(row["seconds"] for row in self.rows if row["step"] in names))


def peak() -> float:
    """The most memory that this process has had resident so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def write_window(path: Path, queries: int, documents: int, candidates: int, seed: int) -> None:
    """`queries` x `candidates` pairs with clicks; a tenth of the queries are of topics that are new.

    Raises ValueError with fewer than `TOPICS` documents for each candidate of a query.
    """
    if documents < TOPICS * candidates:
        raise ValueError(f"{candidates} candidates a query need {TOPICS * candidates} documents")
    rng = np.random.default_rng([seed, 0])
    corpus = pa.array([_words(rng, document % TOPICS, 60) for document in range(documents)])
    with pq.ParquetWriter(path, PAIRS_SCHEMA, compression="zstd") as writer:
        for start in range(0, queries, BLOCK):
            numbers = np.arange(start, min(start + BLOCK, queries))
            writer.write_table(_block(rng, numbers, corpus, candidates))


def _block(rng: np.random.Generator, numbers: np.ndarray, corpus: pa.Array, candidates: int) -> pa.Table:
    topic = np.where(rng.random(len(numbers)) < 0.1, 400 + numbers % 100, numbers % 400)
    texts = [_words(rng, int(item), 4) for item in topic]
    n = len(numbers) * candidates
    within = np.repeat(topic, candidates)
    other = rng.random(n) < 0.5
    blocks = len(corpus) // TOPICS  # each has a document of each topic; a query takes one of a block
    block = (
        np.repeat(rng.integers(0, blocks, len(numbers)), candidates) + np.arange(n) % candidates
    ) % blocks
    strange = (within + rng.integers(1, TOPICS, n)) % TOPICS
    document = block * TOPICS + np.where(other, strange, within)
    shown = rng.integers(1, 100, n)
    position = np.tile(np.arange(1, candidates + 1), len(numbers))
    clicks = rng.binomial(shown, np.where(other, 0.05, 0.3) / position**0.7)
    columns = {
        "query_id": pa.array([f"q{number}" for number in np.repeat(numbers, candidates)]),
        "doc_id": pa.array([f"d{number}" for number in document]),
        "query": pa.array(texts).take(pa.array(np.repeat(np.arange(len(numbers)), candidates))),
        "title": pa.array([""] * n),
        "text": corpus.take(pa.array(document)),
        "language": pa.array([LANGUAGES[number % 3] for number in np.repeat(numbers, candidates)]),
        "source": pa.array(["made up"] * n),
        "timestamp": pa.nulls(n, pa.timestamp("us")),
        "impressions": pa.array(shown.astype(np.float64)),
        "clicks": pa.array(clicks.astype(np.float64)),
        "dwell_seconds": pa.array(rng.exponential(40.0, n)),
        "position": pa.array(position.astype(np.float64)),
    }
    return pa.table(columns, schema=PAIRS_SCHEMA)


def _words(rng: np.random.Generator, topic: int, count: int) -> str:
    """Half the words are of a topic, half of all of them."""
    own = rng.integers(0, 20, count // 2)
    return " ".join(
        [
            *(f"t{topic}x{word}" for word in own),
            *(f"w{word}" for word in rng.integers(0, 5_000, count - count // 2)),
        ]
    )


def mine_window(
    path: Path, model: BiEncoder, settings: MinerSettings, budget: int, meter: Meter
) -> MiningDesk:
    """A round's mining, each step under the meter."""
    window = meter.step("read", lambda: read_coded(path))
    pairs = meter.step("texts by number", lambda: CodedPairs.of_frame(window))
    scores = meter.step("score", lambda: model.score_pairs(pairs))
    rng = np.random.default_rng(1)
    names = [_words(rng, int(topic), 4) for topic in rng.integers(0, 400, len(pairs.queries))]
    earlier = QuerySample(
        model.embed_queries(names), names, [LANGUAGES[row % 3] for row in range(len(names))]
    )
    desk = meter.step(
        "open the desk", lambda: mining_desk(window, model, scores, earlier, settings=settings, seed=1)
    )
    quotas = nomination_quotas(budget, {str(name): share for name, share in settings.agents.items()})
    tables = [
        meter.step(name, partial(mine_with, name, desk, None, quotas[name])) for name in settings.agents
    ]
    sample = meter.step("select", lambda: select(pd.concat(tables, ignore_index=True), desk, budget))
    if len(sample) != budget:
        raise SystemExit(f"{len(sample)} pairs were selected where the budget is {budget}")
    return desk


def report(meter: Meter, window: CodedPairs, pools: Sequence[CodedPairs], given: argparse.Namespace) -> None:
    """What comes after scoring, beside the scoring."""
    after = meter.seconds(*meter.after("score"))
    print(f"After scoring: {after:.1f} s, with the stochastic passes of the encoder `{given.encoder}`")
    if given.drawn:
        layers = [count or None for count in given.dropout_layers]
        passes = MinerSettings().passes
        ways = timed_ways(window, layers, given.drawn, passes)
        print(
            f"MiniLM, estimated from {given.drawn} queries and {given.drawn} documents, the faster of "
            f"{ROUNDS} readings, {passes} passes:"
        )
        print(shares(window, pools, ways, after).to_string(index=False))


def _base_model() -> BiEncoder:
    model = open_base(ModelSettings(), cache=None)
    assert isinstance(model, BiEncoder)
    return model


_ENCODERS: Final[dict[str, Callable[[], BiEncoder]]] = {"stub": partial(stub_model, 0), "base": _base_model}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Memory and time of mining a large window (docs/performance.md)."
    )
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--candidates", type=int, default=50, help="documents a query")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument(
        "--drawn", type=int, default=100, help="queries and documents that MiniLM is timed on; 0: none"
    )
    parser.add_argument("--pools", type=int, nargs="+", default=[MinerSettings().pool], help="pairs")
    parser.add_argument(
        "--dropout-layers", type=int, nargs="+", default=[0, 2, 1], help="upper ones with dropout; 0: all"
    )
    parser.add_argument("--encoder", choices=sorted(_ENCODERS), default="stub")
    given = parser.parse_args()
    meter, settings = Meter(), MinerSettings()
    model = meter.step("start", _ENCODERS[given.encoder])
    with tempfile.TemporaryDirectory(prefix="serm-memory-") as folder:
        path = Path(folder) / "window.parquet"
        meter.step(
            "write", lambda: write_window(path, given.queries, given.documents, given.candidates, seed=0)
        )
        desk = mine_window(path, model, settings, given.budget, meter)
    print(
        f"{len(desk.window):,} pairs, {len(desk.query_embeddings):,} queries, "
        f"{len(desk.document_embeddings):,} documents; vectors by the encoder `{given.encoder}`"
    )
    print(pd.DataFrame(meter.rows).to_string(index=False))
    print(f"Peak resident memory: {peak() / 1e3:.2f} GB")
    pairs = CodedPairs.of_frame(desk.window)
    report(meter, pairs, [pairs.take(desk.most_uncertain(size)) for size in given.pools], given)


if __name__ == "__main__":
    main()
