"""What the graphs remember between steps: ids, paths, counts. Pairs, votes and vectors stay in the workspace.

A checkpoint holds the whole state at every step, so nothing here may grow with a window.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, Final, Literal

from typing_extensions import TypedDict  # pydantic wants it under Python 3.12: a graph's schema is made by it

Verdict = Literal["promoted", "rolled_back"]


class Supervision(TypedDict):
    """Of a chat model that decides what comes next in the round."""

    talk: list[dict[str, Any]]  # its messages in this round; `agents.max_steps` bounds them
    phase: str  # how far the round has come: a key of tools/supervisor_tools.NEXT
    turns: int  # that it took in this round
    bad: int  # bad ones in a row
    by_rules: str  # why the rules decide for the rest of the round; "" while the model does
    act: str  # the step that was decided last; "" where none was
    call: str  # id of the tool call that decided it, to be answered when the step is done
    question: str  # that a person is asked
    questions: int  # asked in this round
    halt: str  # why it wants no further round; "" where it does


class SupervisorState(TypedDict, total=False):
    round: int  # 1 for the first; also the number of the window, counted from 1
    started: int  # ns since the epoch, of this round
    untrained: str  # model keys: names of folders in the workspace's models/
    frozen: str
    champion: str
    previous: str  # the champion before the current one
    challenger: str
    sample: str  # names in the workspace's samples/, labels/, snapshots/
    labels: str
    snapshot: str
    earlier_labels: list[str]  # one name a finished round, the oldest first
    verdict: Verdict
    rollbacks: int  # in a row
    looks: int  # of the gate
    stop: str  # why the run ended; "" while it goes on
    pairs: int  # that the miner is to choose; missing: all that the budget gives a round
    supervision: Supervision  # where a chat model supervises
    halts: int  # how often that has stopped the run


MINED_FROM: Final = ("champion", "previous", "untrained", "earlier_labels", "pairs")
"""What the miner takes over from the supervisor's state, beside the round."""


class MinerState(TypedDict, total=False):
    round: int
    champion: str
    previous: str
    untrained: str
    earlier_labels: list[str]
    pairs: int  # to choose; missing: all that the budget gives a round
    evolving: bool  # whether it is a round of a run; missing: a call by itself (see fallen.py)
    scores: str  # a name in the workspace's scores/
    name: str  # of all that the round mines, in samples/
    plan: str  # a name in the workspace's samples/; missing where no chat model plans
    nominated: Annotated[dict[str, str], operator.or_]  # agent: a name in the workspace's samples/
    sample: str


class AnnotatorState(TypedDict, total=False):
    round: int
    evolving: bool  # as the miner's
    sample: str
    gold: str  # names the human-graded pairs that the panel grades to be weighed; "": none
    reliability: str  # a name in the workspace's reliability/; "": the rule needs none
    wave: int  # of judges, counted from 0
    closed: str  # why no judge is asked any more; "" while they are
    graded: Annotated[int, operator.add]  # judgments that are a grade
    failed: Annotated[int, operator.add]  # judgments that are a failure
    labels: str
    debated: str  # the labels before the debate, where there was one


class ShardTask(TypedDict):
    """What one fan-out task is handed: one judge, one shard of the pairs that it is to grade now."""

    round: int
    sample: str
    gold: str
    reliability: str
    wave: int
    labels: str  # those whose dropped pairs are debated
    judge: str
    first: int  # row of the judge's pairs, inclusive
    last: int  # exclusive
