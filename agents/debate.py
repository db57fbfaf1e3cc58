"""One round of debate: a judge sees what the others said of a pair, and may revise its grade."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, Protocol, TypeGuard

import yaml

from serm.agents.prompt import FOLDER
from serm.core.hashing import digest, unit_interval
from serm.core.records import Answer, Judgment, Pair, PairKey
from serm.llm.asking import Message
from serm.llm.base import Judge, Record, unrecorded

SUFFIX: Final = "/debate"
"""Ends the name under which what a judge says in a debate is recorded; its first word stays beside it."""
_SLOT: Final = re.compile(r"\{(own|others)\}")


class Debater(Judge, Protocol):
    """A judge that one can talk with: a chat model, with tools or without. Recorded and simulated judges are
    none, and keep their grade."""

    def messages(self, pair: Pair) -> list[Message]:
        """The conversation that it is asked for a pair with."""

    async def converse(self, pair: Pair, messages: list[Message], path: int) -> Answer:
        """Its answer to a conversation about a pair."""


def is_debater(judge: Judge) -> TypeGuard[Debater]:
    return hasattr(judge, "converse")


class DebateJudge:
    """Fulfils `Judge`. `said` are the first judgments of each pair, the judge's own among them.

    It is asked with its own prompt for the pair, and under it what all said: so a server that shares prefixes
    has read the pair already, and the rubric stays the judge's. The others bear no names, and stand in an
    order drawn from the pair's hash.
    """

    def __init__(self, judge: Debater, said: Mapping[PairKey, Sequence[Judgment]]) -> None:
        self._judge, self._said = judge, said
        self.name, self.model, self.revision = judge.name + SUFFIX, judge.model, judge.revision
        self.prompt_hash = digest([judge.prompt_hash, debate_turn()])
        self.sampling: Mapping[str, object] = judge.sampling
        self.simulated, self.deterministic, self.remote = judge.simulated, judge.deterministic, judge.remote

    async def answer(self, pair: Pair, path: int) -> Answer:
        messages = self._judge.messages(pair)
        turn = _SLOT.sub(lambda match: self._told(pair)[match.group(1)], debate_turn())
        last = {**messages[-1], "content": f"{messages[-1]['content']}\n\n{turn}"}
        return await self._judge.converse(pair, [*messages[:-1], last], path)

    def evidence(self, pair: Pair) -> str:
        """What all said of the pair: where one would say something else, the debate is another."""
        return digest([self._judge.evidence(pair), self._told(pair)])

    async def prove(self, record: Record = unrecorded) -> str:
        return await self._judge.prove(record)

    async def close(self) -> None:
        """Nothing: what is held is the judge's."""

    def _told(self, pair: Pair) -> dict[str, str]:
        own = [judgment for judgment in self._said[pair.key] if judgment.judge == self._judge.name]
        others = [
            judgment
            for judgment in self._said[pair.key]
            if judgment.judge != self._judge.name and judgment.grade is not None
        ]
        others.sort(key=lambda judgment: unit_interval("debate", *pair.key, self.name, judgment.judge))
        return {
            "own": "; ".join(_line(judgment) for judgment in own),
            "others": "\n".join(f"Another judge: {_line(judgment)}" for judgment in others),
        }


@cache
def debate_turn() -> str:
    """What a judge is told, with the slots {own} and {others}."""
    content = yaml.safe_load((FOLDER / "debate.yaml").read_text(encoding="utf-8"))
    return str(content["turn"]).strip()


def after_debate(first: Judgment, revised: Judgment | None) -> Judgment:
    """A judge's word on a pair after the debate, under the judge's own name, with what both rounds took.

    Where it was not asked again, or failed to answer, its first word stands.
    """
    if revised is None:
        return first
    spoken = revised if revised.grade is not None else first
    return replace(
        spoken,
        judge=first.judge,
        paths=(*first.paths, *revised.paths),
        tokens_in=first.tokens_in + revised.tokens_in,
        tokens_out=first.tokens_out + revised.tokens_out,
        cost=first.cost + revised.cost,
        latency=first.latency + revised.latency,
        requests=first.requests + revised.requests,
    )


def _line(judgment: Judgment) -> str:
    reason = " ".join(judgment.rationale.split())
    return f"{judgment.grade}. {reason}" if reason else str(judgment.grade)
