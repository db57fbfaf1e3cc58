"""The records that every part of serm speaks in. Frozen, plain, free of any framework."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

GRADES: Final = (0, 1, 2, 3)
"""Irrelevant, related, highly relevant, perfectly relevant (TREC Deep Learning's scale)."""
N_GRADES: Final = len(GRADES)

GradeDistribution = tuple[float, float, float, float]


class PairKey(NamedTuple):
    """What names a pair everywhere."""

    query_id: str
    doc_id: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One query and one document, as a judge sees them."""

    query_id: str
    doc_id: str
    query: str
    text: str
    title: str = ""
    language: str = ""
    again: int = 0  # how often it was labelled before: judges that may say something else are asked anew

    @property
    def key(self) -> PairKey:
        return PairKey(self.query_id, self.doc_id)


class FailureKind(StrEnum):
    """Why there is no grade. A failure is never a grade, and is retried alone."""

    MISSING = "missing"  # no answer recorded
    TIMEOUT = "timeout"
    REFUSED = "refused"  # the server refused for good: 400, 401, 403, 404
    TOO_LONG = "too_long"  # the prompt and the text are longer than the model's context
    RATE_LIMITED = "rate_limited"  # 429 until the retries ran out
    SERVER = "server"  # 5xx or a broken connection until the retries ran out
    UNPARSABLE = "unparsable"  # prose, cut-off JSON, wrong schema
    OUT_OF_RANGE = "out_of_range"  # a number that is no grade
    TOOL = "tool"  # the judge called its tools wrongly twice
    NO_MAJORITY = "no_majority"  # every path answered, no grade had most votes
    OVER_BUDGET = "over_budget"  # not asked: the budget was reached


@dataclass(frozen=True, slots=True)
class Failure:
    kind: FailureKind
    message: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a judge did on its way to an answer: a tool that it called, or a text of its own."""

    tool: str  # its name; "answer" for a text without a call
    given: str  # the arguments or the text, as the model wrote them
    result: str = ""
    error: str = ""  # what was wrong with it; "" where nothing was
    began: int = 0  # ns since the epoch
    ended: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One reasoning path of one judge: a grade or a failure, never both."""

    grade: int | None = None
    failure: Failure | None = None
    distribution: GradeDistribution | None = None
    rationale: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0  # in the currency of the price table
    latency: float = 0.0  # seconds
    requests: int = 1  # HTTP requests, retries included
    outside: float | None = None  # probability mass that lay on no grade, where the backend gives it
    steps: tuple[Step, ...] = ()  # of a judge that is an agent: for its trace, not kept beside it

    def __post_init__(self) -> None:
        if (self.grade is None) == (self.failure is None):
            raise ValueError("an answer is a grade or a failure, and never both")
        if self.grade is not None and self.grade not in GRADES:
            raise ValueError(f"grade {self.grade} is not one of {GRADES}")


@dataclass(frozen=True, slots=True)
class Judgment:
    """What one judge said of one pair after level 1 (paths and their majority)."""

    query_id: str
    doc_id: str
    judge: str
    grade: int | None
    failure: Failure | None
    distribution: GradeDistribution | None
    paths: tuple[int | None, ...]  # one entry a path: its grade, None where it failed
    rationale: str
    tokens_in: int
    tokens_out: int
    cost: float
    latency: float
    requests: int
    prompt_hash: str
    model: str
    revision: str
    simulated: bool
    cache_key: str
    trace_id: str = ""
    outside: float | None = None  # mean probability mass that lay on no grade, where the backend gives it

    def __post_init__(self) -> None:
        if (self.grade is None) == (self.failure is None):
            raise ValueError("a judgment is a grade or a failure, and never both")

    @property
    def key(self) -> PairKey:
        return PairKey(self.query_id, self.doc_id)


class Outcome(StrEnum):
    """How the panel came to its label."""

    UNANIMOUS = "unanimous"
    MAJORITY = "majority"
    RELIABILITY = "reliability"
    DEBATE = "debate"
    HUMAN = "human"
    DROPPED = "dropped"  # every judge answered, the panel did not agree
    FAILED = "failed"  # too few judges answered for the rule to decide

    @property
    def kept(self) -> bool:
        return self not in (Outcome.DROPPED, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Label:
    """What the panel settled on for one pair (a grade), or why it did not (`outcome`)."""

    query_id: str
    doc_id: str
    grade: int | None
    distribution: GradeDistribution | None  # vote shares; the soft target
    outcome: Outcome
    votes: tuple[tuple[str, int | None], ...]  # (judge, grade); None is a failed judgment
    rationale: str = ""
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    @property
    def key(self) -> PairKey:
        return PairKey(self.query_id, self.doc_id)


@dataclass(frozen=True, slots=True)
class Nomination:
    """One agent proposes one pair of the window for labelling, with its score and its reason."""

    query_id: str
    doc_id: str
    agent: str
    score: float  # the agent's own scale; comparable within one agent only
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """One input row that was not taken, and why. Rows count from 1, the header not counted."""

    file: str
    row: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bootstrap interval, in the measure's own unit (not percent)."""

    mean: float
    low: float
    high: float
    n: int = 0
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class JudgedShare:
    """What the panel's grades of gate queries brought to the gate (prediction-powered inference)."""

    human: Interval  # the change by human grades alone: what the gate would have gone by
    weight: float  # of the panel, 0 to 1; 0: it was of no use, and human grades alone decided
    queries: int  # that the panel alone has graded
    pairs: int  # it graded, those of the human-graded queries among them
    correlation: float  # of the changes by human and by the panel's grades, on the queries that both graded
    worth: float  # times as many human-graded queries as would give an interval as narrow


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate said of one challenger, with the evidence."""

    promoted: bool
    reasons: tuple[str, ...]
    change: Interval  # NDCG@4, all opened gate queries; `low` is the one-sided lower bound
    newest: Interval  # the newest window's gate queries alone
    margin: float
    detectable: float  # smallest change the gate could have seen
    underpowered: bool
    queries_needed: int  # further gate queries until `detectable` is within the margin; -1: unknown
    looks: int  # how often the gate has looked at these queries, this time included
    slices: tuple[tuple[str, Interval], ...] = field(default=())  # decisive only where gate.slice_veto is on
    grades_needed: int = 0  # human grades that `queries_needed` comes to, as many for each as so far
    spread: float = math.nan  # standard deviation of the change over gate queries, by human grades
    champion: tuple[tuple[str, float], ...] = field(default=())  # (measure, value) on all gate queries
    challenger: tuple[tuple[str, float], ...] = field(default=())
    note: str = ""  # what `champion` and `challenger` may not be read for
    judged: JudgedShare | None = None  # where gate.judged_share is above 0
