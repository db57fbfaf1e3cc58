"""Calls that early stops save: `python -m serm.benchmarks.judging.calls_saved`.

Against all 7 paths of every judge. The judges are SIMULATED chat models: a path's grade is drawn around what
a recorded judge of TREC Deep Learning answered, grade g with a chance in proportion to
exp(-|g - recorded| / T), by a hash of the judge, the pair and the path. T is the temperature: at 0.5 a path
repeats the recorded grade in about four of five cases. Panel, waves, paths, store and rules are serm's own.

`same label` is the share of pairs with the outcome and grade that all paths of all judges would give. At risk
0 both stops are exact, and it has to be 100%; at a risk above 0 (`agreement.path_risk`) a judge's paths end
sooner.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Final

import pandas as pd

from serm.agents.inquiry import Said, inquire, votes_of
from serm.agents.jury import Jury
from serm.agents.panel import Member, Panel, pairs_of
from serm.agents.paths import majority
from serm.benchmarks.judging.recorded import read_years
from serm.core.columns import KEY
from serm.core.hashing import unit_interval
from serm.core.records import GRADES, Answer, Failure, FailureKind, Pair, PairKey
from serm.core.settings_loop import AgreementSettings
from serm.evals.rater import NO_GRADE
from serm.evals.tables import Cells, markdown
from serm.llm.base import Record, unrecorded
from serm.llm.budget import Budget
from serm.storage.judgments import JudgmentStore
from serm.tools.peer_vote import decide
from serm.tools.reliability import Reliability, Votes, learn

PATHS: Final = 7
JUDGES: Final = (
    "llama3.2_umbrela",
    "4prompts_llama70b",
    "gpt-4o_umbrela",
    "gpt-4_umbrela",
    "4prompts_flant5large",
)
"""In the order of asking; a panel of three is the first three."""
RULES: Final = ("unanimous", "majority", "reliability")
LEARNED_FROM, JUDGED = 2019, 2020  # years; gate queries of the first, all queries of the second
GOLD: Final = 300  # human-graded pairs that `reliability` learns from


class PathJudge:
    """Fulfils `Judge`: a chat model whose paths differ, SIMULATED from one recorded answer a pair."""

    model, revision, prompt_hash = "paths", "1", ""
    simulated = True
    deterministic = False
    remote = True  # its calls count

    def __init__(self, name: str, recorded: Mapping[PairKey, int], temperature: float) -> None:
        self.name, self._recorded, self._temperature = name, recorded, temperature
        self.sampling: Mapping[str, object] = {"temperature": temperature}

    def grade(self, key: PairKey, path: int) -> int | None:
        """None where nothing is recorded: every path fails."""
        if (recorded := self._recorded.get(key)) is None:
            return None
        weights = [math.exp(-abs(grade - recorded) / self._temperature) for grade in GRADES]
        left = unit_interval("path", self.name, *key, path) * sum(weights)
        for grade, weight in zip(GRADES, weights, strict=True):
            if left < weight:
                return grade
            left -= weight
        return GRADES[-1]

    def whole(self, key: PairKey) -> int | None:
        """The majority of all its paths."""
        return majority([self.grade(key, path) for path in range(PATHS)])

    async def answer(self, pair: Pair, path: int) -> Answer:
        grade = self.grade(pair.key, path)
        return Answer(grade=grade) if grade is not None else _MISSING

    def evidence(self, pair: Pair) -> str:  # noqa: ARG002
        return ""

    async def prove(self, record: Record = unrecorded) -> str:  # noqa: ARG002 - it asks nobody
        return ""

    async def close(self) -> None:
        return None


_MISSING: Final = Answer(failure=Failure(FailureKind.MISSING, "nothing is recorded of this pair"))


@dataclass(frozen=True)
class Bench:
    """Judges over the pairs of a year, and what all of their paths would say."""

    judges: Mapping[str, PathJudge]
    frame: pd.DataFrame  # the pairs to judge
    gold: Mapping[PairKey, int]  # human grades to learn from

    @cached_property
    def full(self) -> Mapping[PairKey, Mapping[str, int | None]]:
        """Each judge's majority over all paths, for every pair."""
        keys = [*self.gold, *(PairKey(*key) for key in self.frame[[*KEY]].to_numpy())]
        return {key: {name: judge.whole(key) for name, judge in self.judges.items()} for key in keys}

    def votes(self, key: PairKey, names: Sequence[str]) -> Votes:
        return [(name, self.full[key][name]) for name in names]

    def learned(self, names: Sequence[str], keep: float) -> Reliability:
        return learn([self.votes(key, names) for key in self.gold], list(self.gold.values()), keep=keep)


def open_bench(folder: Path, pairs: int, temperature: float) -> Bench:
    """`pairs` of the judged year and the gold of the other, both chosen by hash."""
    years = read_years(folder)
    judged, _ = years[JUDGED]
    graded, gate = years[LEARNED_FROM]
    graded = graded.only(gate)
    both = {name: {} for name in JUDGES}  # type: dict[str, dict[PairKey, int]]
    for data in (judged, graded):
        for name in JUDGES:
            answers = zip(data.keys, data.votes[name].tolist(), strict=True)
            both[name] |= {key: grade for key, grade in answers if grade != NO_GRADE}
    keys = sorted(judged.keys, key=lambda key: unit_interval("calls saved", *key))[:pairs]
    human = dict(zip(graded.keys, graded.human.tolist(), strict=True))
    gold = sorted(human, key=lambda key: unit_interval("calls saved", *key))[:GOLD]
    return Bench(
        {name: PathJudge(name, both[name], temperature) for name in JUDGES},
        pd.DataFrame(keys, columns=[*KEY]).assign(query="", text=""),
        {key: human[key] for key in gold},
    )


def run(bench: Bench, names: Sequence[str], agreement: AgreementSettings, store: JudgmentStore) -> Said:
    """Ask the judges in waves, as the annotator does; what they said."""
    reliability = bench.learned(names, agreement.keep) if agreement.rule == "reliability" else None
    jury = Jury(names, agreement, reliability, remote=names)
    members = [Member(bench.judges[name], (), asyncio.Semaphore(16)) for name in names]
    risk = agreement.path_risk
    with Panel(members, paths=PATHS, risk=risk, sample=0.0, budget=Budget(None)) as panel:
        for wave in range(len(jury.waves)):
            asking = inquire(panel, {tuple(names): jury}, bench.frame, store, wave).asking
            for name, rows in asking.items():
                panel.judge(name, pairs_of(rows), store)
        return inquire(panel, {tuple(names): jury}, bench.frame, store, len(jury.waves)).said


def row_of(
    bench: Bench, names: Sequence[str], rule: str, risk: float, store: JudgmentStore
) -> tuple[str, ...]:
    """Of one rule and panel: calls, what each stop saved, and how often the label is the same."""
    agreement = AgreementSettings.model_validate({"rule": rule, "paths": PATHS, "path_risk": risk})
    said = run(bench, names, agreement, store)
    reliability = bench.learned(names, agreement.keep) if rule == "reliability" else None
    fixed = len(said) * len(names) * PATHS
    within = sum(PATHS - len(judgment.paths) for judgments in said.values() for judgment in judgments)
    across = sum(PATHS * (len(names) - len(judgments)) for judgments in said.values())
    same = kept = 0
    for key, judgments in said.items():
        ours = decide(votes_of(judgments), rule, agreement.min_judges, reliability)
        whole = decide(bench.votes(key, names), rule, agreement.min_judges, reliability)
        same += (ours.outcome, ours.grade) == (whole.outcome, whole.grade)
        kept += ours.outcome.kept
    return (
        rule,
        str(len(names)),
        f"{fixed:,}",
        f"{fixed - within - across:,}",
        f"{within / fixed:.1%}",
        f"{across / fixed:.1%}",
        f"{(within + across) / fixed:.1%}",
        f"{kept / len(said):.1%}",
        f"{same / len(said):.1%}",
    )


def calls_saved(folder: Path, pairs: int, temperature: float, risk: float) -> Cells:
    """A row a rule and panel."""
    bench = open_bench(folder, pairs, temperature)
    with (
        tempfile.TemporaryDirectory() as scratch,
        JudgmentStore(f"sqlite:///{Path(scratch) / 'judgments.sqlite'}") as store,
    ):
        rows = [row_of(bench, JUDGES[:count], rule, risk, store) for count in (3, 5) for rule in RULES]
    headers = (
        *("rule", "judges", "calls, all paths", "calls made", "saved within", "saved across"),
        *("saved", "pairs kept", "same label"),
    )
    return Cells(headers, tuple(rows), frozenset({"rule"}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec-dl"))
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--temperature", type=float, nargs="*", default=[0.5])
    parser.add_argument("--risk", type=float, nargs="*", default=[0.0, 0.05])
    chosen = parser.parse_args(arguments)
    for temperature, risk in product(chosen.temperature, chosen.risk):
        what = f"temperature {temperature:g}, risk {risk:g}"
        print(f"SIMULATED judges, {what}, {chosen.pairs:,} pairs of {JUDGED}\n")
        print(markdown(calls_saved(chosen.data, chosen.pairs, temperature, risk)), flush=True)


if __name__ == "__main__":
    main()
