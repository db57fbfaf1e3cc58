"""A small model on this machine as a judge, against people: does it mean anything, and how fast is it?

    python -m serm.benchmarks.judging.local_judge --model MODEL.gguf --out .serm/local-judge

A llama.cpp server is started, or `--url` names one that runs. Each prompt grades the same sample: the pairs
of 2019 and 2020 of ../shared/data/trec-dl whose queries are gate queries (sha256 of the query's id, a fifth
of them), the `--pairs` first by the hash of their ids. What it says is kept in OUT/judgments.parquet, which
`replay:` reads; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from serm.agents.panel import Panel, open_panel, pairs_of
from serm.benchmarks.judging.llama_server import Shape, serve
from serm.core.hashing import digest_file, query_bucket, unit_interval
from serm.core.records import Answer, PairKey
from serm.core.settings import Settings
from serm.evals.rater import NO_GRADE, Agreement, rate
from serm.llm.replay import ReplayJudge
from serm.storage.judgments import JudgmentStore

DATA: Final = Path("../shared/data/trec-dl/pairs.parquet")
PROMPTS: Final = ("grade_only", "umbrela", "reasoned")
BESIDE: Final = ("gpt-4o_umbrela", "llama3.2_umbrela")
UNTIL: Final = "2021-01-01"
CONTEXT: Final = 2048  # tokens of one request; the longest passage of the sample takes under half


@dataclass(frozen=True, slots=True)
class Row:
    """What one judge came to."""

    said: Agreement
    failed: int
    outside: float | None
    seconds: float | None  # of one judgment, mean, waiting for a slot of the server included

    def cells(self) -> list[str]:
        names = ("accuracy", "kappa", "binary_kappa", "qwk")
        accuracy, kappa, binary, qwk = (self.said.measures[name] for name in names)
        return [
            self.said.name,
            f"{self.said.graded} / {self.failed}",
            f"{accuracy.mean:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]",
            f"{kappa.mean:.3f} [{kappa.low:.3f}, {kappa.high:.3f}]",
            f"{binary.mean:.3f}",
            f"{qwk.mean:.3f}",
            "-" if self.said.ece is None else f"{self.said.ece:.3f}",
            "-" if self.outside is None else f"{self.outside:.4f}",
            "-" if self.seconds is None else f"{self.seconds:.1f}",
        ]


HEAD: Final = (
    "judge",
    "graded / failed",
    "accuracy",
    "kappa",
    "binary kappa",
    "QWK",
    "ECE",
    "outside",
    "s each",
)


def sample(file: Path, pairs: int) -> pd.DataFrame:
    """The pairs to grade, their queries one after the other: a server shares a query's prefix."""
    frame = pd.read_parquet(file)
    frame = frame[(frame["timestamp"] < UNTIL) & frame["grade"].notna()]
    frame = frame[frame["query_id"].map(lambda query_id: query_bucket(query_id, 5) == 0)]
    places = [
        unit_interval("local judge", *key) for key in zip(frame["query_id"], frame["doc_id"], strict=True)
    ]
    chosen: pd.DataFrame = frame.iloc[np.argsort(places)[:pairs]]
    return chosen.sort_values("query_id", kind="stable").reset_index(drop=True)


def main(arguments: Sequence[str] | None = None) -> None:
    given = _arguments(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    frame = sample(given.data, given.pairs)
    print(f"{len(frame)} pairs of {frame['query_id'].nunique()} queries, grades {_shares(frame)}")
    with _url(given) as url, JudgmentStore(f"sqlite:///{given.out / 'judgments.sqlite'}") as store:
        with open_panel(_settings(url, given)) as panel:
            for name, complaint in panel.prove().items():
                print(f"{name}: {complaint or getattr(panel.members[name].judge, 'proof', '')}")
            rows = [_judge(panel, prompt, frame, store) for prompt in given.prompts]
        store.export_parquet(given.out / "judgments.parquet")
    rows += [_recorded(name, frame, given.data.parent / "judgments.parquet") for name in given.beside]
    _print_table(rows)
    facts = {"pairs": len(frame), "machine": _machine(), "threads": given.threads, "model": given.name}
    if given.model:
        facts["sha256"] = digest_file(given.model)
    (given.out / "results.json").write_text(
        json.dumps({**facts, "rows": [row.cells() for row in rows]}, indent=1)
    )


def _judge(panel: Panel, name: str, frame: pd.DataFrame, store: JudgmentStore) -> Row:
    report = panel.judge(name, pairs_of(frame), store)
    said = {judgment.key: judgment for judgment in panel.judgments(frame, store) if judgment.judge == name}
    found = [said[PairKey(*key)] for key in zip(frame["query_id"], frame["doc_id"], strict=True)]
    human = frame["grade"].to_numpy(np.int64)
    queries = frame["query_id"].to_numpy()
    grades = np.array([NO_GRADE if item.grade is None else item.grade for item in found], dtype=np.int64)
    shares = np.array([item.distribution or (np.nan,) * 4 for item in found])
    return Row(
        said=rate(name, human, grades, queries, probabilities=shares),
        failed=report.failed,
        outside=report.outside,
        seconds=float(np.mean([item.latency for item in found])),
    )


def _recorded(name: str, frame: pd.DataFrame, file: Path) -> Row:
    """A judge whose answers to the same pairs were recorded, to compare with."""
    judge = ReplayJudge.open(file, name)

    async def ask() -> list[Answer]:
        return [await judge.answer(pair, 0) for pair in pairs_of(frame)]

    answers = asyncio.run(ask())
    human, queries = frame["grade"].to_numpy(np.int64), frame["query_id"].to_numpy()
    grades = np.array([NO_GRADE if item.grade is None else item.grade for item in answers], dtype=np.int64)
    rated = rate(f"{name} (recorded)", human, grades, queries)
    return Row(rated, int((grades == NO_GRADE).sum()), None, None)


def _settings(url: str, given: argparse.Namespace) -> Settings:
    judges = [{"backend": f"{url}#{given.name}", "name": name, "prompt": name} for name in given.prompts]
    llm = {"concurrency": given.slots, "timeout": 600, "max_tokens": 160, "retries": 1}
    return Settings.from_mapping({"judges": judges, "llm": llm}, folder=Path.cwd(), environment={})


@contextmanager
def _url(given: argparse.Namespace) -> Iterator[str]:
    if given.url:
        yield given.url
        return
    with serve(given.model, Shape(CONTEXT, given.slots, given.threads), binary=given.binary) as url:
        yield url


def _print_table(rows: Sequence[Row]) -> None:
    print(f"\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")


def _shares(frame: pd.DataFrame) -> str:
    counts = frame["grade"].value_counts().sort_index()
    return ", ".join(f"{grade}: {count}" for grade, count in counts.items())


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def _arguments(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--model", type=Path, help="a GGUF file; a server is started over it")
    where.add_argument("--url", help="a server that runs: http://127.0.0.1:8080/v1")
    parser.add_argument("--name", default="local", help="what the model is called")
    parser.add_argument("--binary", default="", help="a `llama-server` to start in place of xllamacpp")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--beside", nargs="*", default=BESIDE, help="recorded judges to compare with")
    parser.add_argument("--slots", type=int, default=1, help="requests at a time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(".serm/local-judge"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
