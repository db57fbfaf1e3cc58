"""Pairs a second: serm's scoring of a window beside CrossEncoder.predict and SentenceTransformer.encode.

python -m serm.benchmarks.mining.speed

The texts are TREC Deep Learning's (not part of serm): a window of drawn pairs of its queries and passages.
Where there are fewer distinct queries than asked for, further ones are made by putting two together. serm
scores the whole window: each distinct text is read once, at the precision that `auto` finds here. The peers
read every pair with their defaults; they take far longer, so each is measured on random pairs of the same
window, as many as stated: thousands, because few texts in batches sorted by length are padded more than many.
All three have the backbone of MiniLM, the CrossEncoder with a fresh classifier of one logit. Then the same
with nothing repeated: as many pairs as there are documents, each of a query and a document of its own. Times
are of the processor: on a shared machine the clock (`--clock wall`) tells of the neighbours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch

from serm.core.columns import document_text
from serm.core.settings_loop import ModelSettings
from serm.evals.bootstrap import Floats, difference_interval
from serm.evals.measures import ndcg_column, per_query
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.loading import base_location, open_base
from serm.relevance_model.pairs import CodedPairs, Ints

CLOCKS: Final = {"process": time.process_time, "wall": time.perf_counter}
K: Final = 4


def window_of(queries: Sequence[str], documents: Sequence[str], pairs: int, seed: int) -> CodedPairs:
    """`pairs` distinct pairs in which every query and every document occurs about equally often."""
    rng = np.random.default_rng([seed, len(queries), len(documents)])
    each = -(-pairs // len(queries))
    query = np.repeat(np.arange(len(queries)), each)[:pairs]
    document = np.empty(pairs, dtype=np.int64)
    for number in range(each):  # the n-th document of each query, from a shuffle of all of them
        here = np.flatnonzero(np.arange(pairs) % each == number)
        repeats = -(-len(here) // len(documents))
        drawn = np.concatenate([rng.permutation(len(documents)) for _ in range(repeats)])
        document[here] = drawn[: len(here)]
    return CodedPairs(queries, documents, query.astype(np.int64), document)


def many_queries(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` distinct queries: those that there are, then two of them put together."""
    found = dict.fromkeys(texts[:count])
    rng = np.random.default_rng([seed, 1])
    while len(found) < count:
        left, right = rng.choice(len(texts), 2, replace=False)
        found[f"{texts[left]} {texts[right]}"] = None
    return list(found)


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    work()
    return clock() - began


def texts_of(pairs: CodedPairs, rows: Ints) -> tuple[list[str], list[str]]:
    return [pairs.queries[row] for row in pairs.query[rows]], [
        pairs.documents[row] for row in pairs.document[rows]
    ]


def compare(
    pairs: CodedPairs, settings: ModelSettings, peer_pairs: int, clock: Callable[[], float]
) -> pd.DataFrame:
    """Pairs a second of serm and of its peers, and serm's over each."""
    from sentence_transformers import CrossEncoder, SentenceTransformer

    location = base_location(settings.base)
    rows = np.random.default_rng(3).choice(len(pairs), min(peer_pairs, len(pairs)), replace=False)
    some = texts_of(pairs, rows)
    plain = SentenceTransformer(location, device="cpu", local_files_only=True)
    crossing = CrossEncoder(location, num_labels=1, device="cpu", local_files_only=True)
    model = open_base(settings, None)
    plain.encode(some[0][:4])
    crossing.predict(list(zip(*some, strict=True))[:4])
    model.embed_queries(["the first call builds what later ones find"])

    def encode_both() -> None:
        for side in some:
            plain.encode(side)

    times = {
        "serm": (len(pairs), seconds(lambda: model.score_pairs(pairs), clock)),
        "CrossEncoder.predict": (
            len(rows),
            seconds(lambda: crossing.predict(list(zip(*some, strict=True))), clock),
        ),
        "SentenceTransformer.encode": (len(rows), seconds(encode_both, clock)),
    }
    speed = {name: count / spent for name, (count, spent) in times.items()}
    return pd.DataFrame(
        [
            {
                "scoring": name,
                "pairs": count,
                "seconds": round(spent, 1),
                "pairs a second": round(speed[name], 2),
                "serm is faster by": f"{speed['serm'] / speed[name]:.2f}",
            }
            for name, (count, spent) in times.items()
        ]
    )


def quality(frame: pd.DataFrame, settings: ModelSettings, queries: int) -> tuple[Floats, Floats]:
    """NDCG@4 of each query by serm's scores, and by the cosine of SentenceTransformer's float32 vectors."""
    from sentence_transformers import SentenceTransformer

    keep = (
        frame["query_id"].drop_duplicates().sample(min(queries, frame["query_id"].nunique()), random_state=4)
    )
    graded = frame[frame["query_id"].isin(keep)].reset_index(drop=True)
    pairs = CodedPairs.of_frame(graded)
    ours = open_base(settings, None).score_pairs(pairs).expected
    plain = SentenceTransformer(base_location(settings.base), device="cpu", local_files_only=True)
    plain.max_seq_length = settings.max_length
    sides = [
        plain.encode(list(texts), normalize_embeddings=True, convert_to_numpy=True)
        for texts in (pairs.queries, pairs.documents)
    ]
    theirs = np.einsum("nd,nd->n", sides[0][pairs.query], sides[1][pairs.document])
    column = ndcg_column(K)
    found = [per_query(graded, scores)[column].to_numpy(dtype=np.float64) for scores in (ours, theirs)]
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of scoring (docs/performance.md).")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec-dl/pairs.parquet"))
    parser.add_argument(
        "--size", type=float, default=1.0, help="of the window; 1: 50,000 pairs, 5,000 x 10,000"
    )
    parser.add_argument("--peer-pairs", type=int, default=2_000, help="pairs that the peers are measured on")
    parser.add_argument("--graded", type=int, default=20, help="queries that NDCG@4 is compared on")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--clock", choices=list(CLOCKS), default="process")
    given = parser.parse_args()
    if not given.data.is_file():
        raise SystemExit(f"{given.data} is missing; name another file of pairs with --data")
    frame = pd.read_parquet(given.data)
    frame["source"] = "file"
    documents = list(dict.fromkeys(document_text(frame["title"], frame["text"])))
    np.random.default_rng(0).shuffle(documents)
    counts = [max(4, round(count * given.size)) for count in (50_000, 5_000, 10_000)]
    queries = many_queries(list(dict.fromkeys(frame["query"])), max(counts[1:]), seed=0)
    settings = ModelSettings(precision=given.precision)
    model = open_base(settings, None)
    assert isinstance(model, BiEncoder)
    print(
        f"MiniLM, {torch.get_num_threads()} thread(s), serm at {model.encoder.compute.precision}, "
        f"{given.clock} time; peers: defaults, float32"
    )
    parts = {
        "repeated": window_of(queries[: counts[1]], documents[: counts[2]], counts[0], seed=0),
        "nothing repeated": window_of(queries[: counts[2]], documents[: counts[2]], counts[2], seed=0),
    }
    for name, pairs in parts.items():
        print(
            f"\nTexts {name}: {len(pairs):,} pairs, {len(pairs.queries):,} queries, "
            f"{len(pairs.documents):,} documents"
        )
        print(compare(pairs, settings, given.peer_pairs, CLOCKS[given.clock]).to_string(index=False))
    ours, theirs = quality(frame, settings, given.graded)
    change = difference_interval(theirs, ours, 0.95, 2_000, seed=0)
    moved = int((np.abs(ours - theirs) > 1e-6).sum())
    print(
        f"\nNDCG@{K} on {len(ours)} graded queries: serm {np.nanmean(ours):.4f}, SentenceTransformer in "
        f"float32 {np.nanmean(theirs):.4f}, difference {change.mean:+.4f} "
        f"[{change.low:+.4f}, {change.high:+.4f}], on {moved} of the queries"
    )


if __name__ == "__main__":
    main()
