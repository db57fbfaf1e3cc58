"""Judging against a server that fails: `python -m serm.benchmarks.judging.faults`.

A share of all calls is answered with 429, 500, a hang past the timeout, cut-off JSON, a wrong schema or
prose (`chat_server`). A process judges all pairs and is killed with SIGKILL in the middle; another one goes
on. Then every claim is checked against what the server has played and what the store holds, and the run
fails where one does not hold: each pair graded or failed, once; each grade the one of its own pair; no
request after a good answer, but for calls that were lost; lost calls no more than were in flight, and
counted; no recorded judgment asked again. At last the failed pairs alone are asked again.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serm.agents.panel import open_panel
from serm.agents.shard_report import ShardReport
from serm.benchmarks.judging.chat_server import FAULTS, GOOD, TRIAL, asked, seen, serving, truth
from serm.core.records import Judgment, Pair
from serm.core.settings import Settings
from serm.evals.tables import Cells, markdown
from serm.llm.base import cache_key
from serm.storage.judgments import JudgmentStore

MODULE: Final = "serm.benchmarks.judging.faults"
SHARD: Final = 500
"""Pairs that are handed to the panel at once."""
POLL: Final = 0.05  # seconds


@dataclass(frozen=True)
class Plan:
    """What is judged, and how."""

    url: str  # of the server
    store: str  # SQLAlchemy URL
    pairs: int
    in_flight: int
    timeout: float  # seconds
    retries: int = 2

    def names(self) -> list[str]:
        return [f"pair-{number}" for number in range(self.pairs)]

    def settings(self) -> Settings:
        llm = {"concurrency": self.in_flight, "timeout": self.timeout, "retries": self.retries}
        return Settings.from_mapping({"judges": [f"{self.url}#stub"], "llm": llm})


def judge(plan: Plan, *, retry: bool) -> list[ShardReport]:
    """Judge all pairs of a plan; what is recorded is not asked."""
    names = plan.names()
    with JudgmentStore(plan.store) as store, open_panel(plan.settings()) as panel:
        panel.retry = retry
        return [
            panel.judge("stub", [_pair(name) for name in names[start : start + SHARD]], store)
            for start in range(0, len(names), SHARD)
        ]


def _pair(name: str) -> Pair:
    return Pair(f"query of {name}", name, "which pair is this", f"The name of this document is {name}.")


@dataclass(frozen=True)
class Outcome:
    """What came of a plan, as the store and the server tell it."""

    judgments: Mapping[str, Judgment]  # by pair
    rows: int  # of judgments
    plays: Mapping[str, Sequence[str]]  # what the server played for each pair
    lost: int  # calls, as the store counts them
    requests: int  # of finished calls


def outcome(plan: Plan) -> Outcome:
    with JudgmentStore(plan.store) as store, open_panel(plan.settings()) as panel:
        member = panel.members["stub"].judge
        keys = [cache_key(member, _pair(name), panel.paths) for name in plan.names()]
        return Outcome(
            {judgment.doc_id: judgment for judgment in store.get(keys).values()},
            store.totals().judgments,
            asked(plan.url),
            store.lost_calls(),
            sum(account.requests for account in store.accounts()),
        )


def kill_in_the_middle(plan: Plan) -> None:
    """Have a process of its own judge the plan, and kill it once the server has seen half of the pairs."""
    values = [plan.url, plan.store, plan.pairs, plan.in_flight, plan.timeout, plan.retries]
    process = subprocess.Popen([sys.executable, "-m", MODULE, "--judge", *map(str, values)])
    while seen(plan.url) < plan.pairs / 2:
        if process.poll() is not None:
            raise RuntimeError("the process ended before it was killed")
        time.sleep(POLL)
    process.send_signal(signal.SIGKILL)
    process.wait()


def run(plan: Plan) -> Cells:
    """Kill, resume, retry; a table of what was seen. Raises AssertionError where a claim does not hold."""
    began = time.monotonic()
    kill_in_the_middle(plan)
    killed = outcome(plan)
    _check(0 < len(killed.judgments) < plan.pairs, "the kill came in the middle")
    _check(1 <= killed.lost <= plan.in_flight, f"{killed.lost} calls lost of {plan.in_flight} in flight")

    reports = judge(plan, retry=False)
    done = outcome(plan)
    _check_resumed(killed, done, reports)
    _check_finished(plan, done)

    failed = {name for name, judgment in done.judgments.items() if judgment.grade is None}
    again = judge(plan, retry=True)
    last = outcome(plan)
    _check(sum(report.asked for report in again) == len(failed), "the failed pairs alone were asked again")
    _check(
        all(last.plays[name] == done.plays[name] for name in plan.names() if name not in failed),
        "no graded pair was asked again",
    )
    _check_finished(plan, last)
    return _table(plan, killed, done, last, time.monotonic() - began)


def _check_resumed(killed: Outcome, done: Outcome, reports: Sequence[ShardReport]) -> None:
    recorded = set(killed.judgments)
    _check(sum(report.recorded for report in reports) == len(recorded), "recorded judgments were found")
    _check(
        all(done.plays[name] == killed.plays[name] for name in recorded),
        "no recorded judgment was asked again",
    )
    _check(done.lost == killed.lost, "what was finished is not lost")


def _check_finished(plan: Plan, came: Outcome) -> None:
    _check(came.rows == len(came.judgments) == plan.pairs, "each pair has one judgment")
    shifted = [n for n, j in came.judgments.items() if j.grade is not None and j.grade != truth(n)]
    _check(not shifted, "each grade is that of its own pair")
    wrong = [
        name
        for name, judgment in came.judgments.items()
        if (judgment.grade is not None) != (GOOD in came.plays[name])
    ]
    _check(len(wrong) <= came.lost, "a pair is graded where the server has answered well, else failed")
    of_pairs = [plays for name, plays in came.plays.items() if name != TRIAL]
    after = sum(len(plays) - 1 - plays.index(GOOD) for plays in of_pairs if GOOD in plays)
    _check(after <= came.lost * (plan.retries + 1), f"{after} requests after a good answer")
    sent = sum(map(len, came.plays.values()))
    _check(
        came.requests <= sent <= came.requests + came.lost * (plan.retries + 1),
        f"{sent} requests were sent, {came.requests} are in the account, {came.lost} calls were lost",
    )


def _check(holds: bool, claim: str) -> None:
    if not holds:
        raise AssertionError(claim)


def _table(plan: Plan, killed: Outcome, done: Outcome, last: Outcome, seconds: float) -> Cells:
    plays = Counter(play for of_pair in last.plays.values() for play in of_pair)
    failures = Counter(j.failure.kind.value for j in done.judgments.values() if j.failure is not None)
    rows = [
        ("pairs", f"{plan.pairs:,}"),
        ("requests", f"{plays.total():,}"),
        *((f"of these: {play}", f"{plays[play]:,}") for play in (GOOD, *FAULTS)),
        ("trials of the judge after several failures", f"{len(last.plays.get(TRIAL, ())):,}"),
        ("recorded when the process was killed", f"{len(killed.judgments):,}"),
        (f"calls lost in the kill, {plan.in_flight} in flight", f"{killed.lost:,}"),
        ("graded after the resume", f"{plan.pairs - failures.total():,}"),
        *((f"failed after the resume: {kind}", f"{count:,}") for kind, count in sorted(failures.items())),
        ("graded after failed pairs were asked again", f"{_graded(last):,}"),
        ("grades of another pair", "0"),
        ("seconds", f"{seconds:.0f}"),
    ]
    return Cells(("what", "number"), tuple(rows), frozenset({"what"}))


def _graded(came: Outcome) -> int:
    return sum(judgment.grade is not None for judgment in came.judgments.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--faults", type=float, default=0.2)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=3.0)
    parser.add_argument("--judge", nargs=6, help=argparse.SUPPRESS)  # the process that is to be killed
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    if arguments.judge:
        url, store, pairs, in_flight, timeout, retries = arguments.judge
        judge(Plan(url, store, int(pairs), int(in_flight), float(timeout), int(retries)), retry=False)
        return
    with tempfile.TemporaryDirectory() as folder, serving(arguments.faults, 10 * arguments.timeout) as url:
        store = f"sqlite:///{Path(folder) / 'judgments.sqlite'}"
        plan = Plan(url, store, arguments.pairs, arguments.in_flight, arguments.timeout)
        print(markdown(run(plan)), end="")


if __name__ == "__main__":
    main()
