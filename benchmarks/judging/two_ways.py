"""Two backends over one model, for instance vLLM in this process and vLLM by URL: do they say the same?

    python -m serm.benchmarks.judging.two_ways "vllm:MODEL" "http://127.0.0.1:8000/v1#MODEL" --pairs 48

The pairs are those of `local_judge`. The backends are asked one after the other, so that they do not take
each other's cores. Processor time is that of this process and those it started, and of `--server PID` and
those that it started: on a machine that does other work as well it is steadier than the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import psutil

from serm.agents.panel import open_panel, pairs_of
from serm.benchmarks.judging.local_judge import DATA, sample
from serm.core.records import Judgment
from serm.core.settings import Settings
from serm.storage.judgments import JudgmentStore

PATIENCE: Final = 3_600.0
"""Seconds a request by URL: the figures are to show speed, not what a busy machine makes of a time limit."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one backend said to one prompt, and what it took."""

    backend: str
    prompt: str
    judgments: tuple[Judgment, ...]  # in the order of the pairs
    seconds: float
    processor: float  # seconds

    def line(self) -> str:
        asked, graded = len(self.judgments), sum(item.grade is not None for item in self.judgments)
        read, written = (sum(getattr(item, name) for item in self.judgments) for name in _TOKENS)
        return (
            f"{self.backend}, {self.prompt}: {graded} of {asked} graded, {read:,} tokens read, {written:,} "
            f"written, {self.seconds:.0f} s, {self.processor:.1f} s of processor time "
            f"({asked / self.processor:.2f} judgments a second of it)"
        )


_TOKENS: Final = ("tokens_in", "tokens_out")


def main(arguments: Sequence[str] | None = None) -> None:
    given = _arguments(arguments)
    frame = sample(given.data, given.pairs)
    runs = {
        (backend, prompt): run
        for backend in given.backends
        for prompt, run in _ask(backend, given, frame).items()
    }
    for run in runs.values():
        print(run.line())
    first, second = given.backends
    for prompt in given.prompts:
        both = zip(runs[first, prompt].judgments, runs[second, prompt].judgments, strict=True)
        same = sum(one.grade == other.grade for one, other in both)
        print(f"{prompt}: the same grade, or none, for {same} of {len(frame)} pairs")


def _ask(backend: str, given: argparse.Namespace, frame: pd.DataFrame) -> dict[str, Run]:
    runs = {}
    with open_panel(_settings(backend, given)) as panel:
        for name, complaint in panel.prove().items():
            print(f"{backend}, {name}: {complaint or getattr(panel.members[name].judge, 'proof', '')}")
        for prompt in given.prompts:
            with (
                tempfile.TemporaryDirectory() as folder,
                JudgmentStore(f"sqlite:///{folder}/judgments.sqlite") as store,
            ):
                began, used = time.perf_counter(), _processor(given.server)
                panel.judge(prompt, pairs_of(frame), store)
                took, used = time.perf_counter() - began, _processor(given.server) - used
                said = panel.judgments(frame, store)
            runs[prompt] = Run(backend, prompt, tuple(said), took, used)
    return runs


def _settings(backend: str, given: argparse.Namespace) -> Settings:
    engine: dict[str, Any] = {"max_model_len": 2048, "block_size": 32, "max_num_batched_tokens": 512}
    llm = {
        "max_tokens": given.max_tokens,
        "concurrency": given.pairs,
        "timeout": PATIENCE,
        "retries": 0,
        "vllm": engine | {"enforce_eager": True, "dtype": "bfloat16"},
    }
    judges = [{"backend": backend, "name": prompt, "prompt": prompt} for prompt in given.prompts]
    values = {"data": {"sources": [{"pairs": str(given.data)}]}, "judges": judges, "llm": llm}
    return Settings.from_mapping(values, folder=Path.cwd(), environment={})


def _processor(server: int | None) -> float:
    """Processor seconds so far of this process, the server, and all that they have started."""
    processes = [psutil.Process(), *([psutil.Process(server)] if server else [])]
    return sum(
        sum(one.cpu_times()[:2])
        for process in processes
        for one in (process, *process.children(recursive=True))
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backends", nargs=2, help="backend strings, as in `judges`")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--prompts", nargs="+", default=["grade_only", "umbrela"])
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--server", type=int, default=None, help="process id of the server")
    parser.add_argument("--data", type=Path, default=DATA)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
