"""The money of agents: their turns are reserved and paid for as the judges' calls are, from one ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    convert_to_openai_messages,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from serm.core.errors import BudgetExceededError, SermError
from serm.core.hashing import digest
from serm.core.settings_loop import Price
from serm.llm.brake import Brake, GivenUpError, StopRequestedError
from serm.llm.budget import believed, cost, most
from serm.llm.completions import counted
from serm.llm.provider_errors import problem_of_provider
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import current_trace_id
from serm.storage.turns import AgentTurn

_LOOK: Final = 0.5
"""Seconds between two looks at whether to stop, while others' turns are waited for (chosen: each reads the
ledger)."""


class Purse:
    """What a run may spend on agents. Safe to use from several threads.

    What judges and earlier processes have paid counts, too: it is in the ledger. Agents and judges of a run
    do not work at the same time, so nothing that a judge has reserved is overlooked here.
    """

    def __init__(self, limit: float | None, ledger: JudgmentStore, brake: Brake | None = None) -> None:
        self._limit, self._ledger = limit, ledger
        self.brake = brake or Brake()  # stops whoever is paid from it
        self._in_flight: dict[str, float] = {}  # by mark: turns of this process, at the most that they cost
        self._ended = threading.Condition()

    def reserve(self, most: AgentTurn) -> str:
        """Mark a turn in the ledger, at the most that it can cost; the mark's name goes to `settle`.

        The mark is the reservation: it counts until it is settled, also where the process is gone by then.
        Agents that work side by side do not stop each other: where it is their turns in flight that leave no
        room, it waits for them, as most cost less than they could. Raises BudgetExceededError where the turn
        could pass the limit, StopRequestedError where somebody asks to stop meanwhile.
        """
        with self._ended:  # none may reserve between another's look and its mark
            while self._limit is not None and (paid := self._ledger.spent()) + most.cost > self._limit:
                without = paid - sum(self._in_flight.values())
                if not self._in_flight or without + most.cost > self._limit:
                    raise BudgetExceededError(
                        f"the next turn of an agent could pass the budget of {self._limit:g}: "
                        f"{paid:.4g} is paid or asked for.",
                        "What was paid for is kept. Raise `budget.currency` and run it again to go on.",
                    )
                self._ended.wait(_LOOK)
                self.brake.check()
            mark = self._ledger.turn_started(most)
            self._in_flight[mark] = most.cost
            return mark

    def settle(self, mark: str, turn: AgentTurn | None) -> None:
        """A turn has ended; None: it failed before it can have been answered, and costs nothing."""
        try:
            self._ledger.turn_ended(mark, turn)
        finally:
            self.leave(mark)

    def leave(self, mark: str) -> None:
        """Nobody waits for this turn any more. Where it is not settled its mark stays in the ledger, and
        counts as the most that it can have cost."""
        with self._ended:
            self._in_flight.pop(mark, None)
            self._ended.notify_all()

    def answer(self, key: str) -> str | None:
        """What was answered under a key and paid for, by this process or an earlier one."""
        return self._ledger.turn_answer(key)


@dataclass(frozen=True, slots=True)
class Till:
    """The purse as one agent uses it: whose turns, of which model, at which price."""

    purse: Purse
    agent: str
    model: str
    price: Price | None  # None: turns cost nothing, and are only counted
    max_tokens: int  # of one answer

    def pay(
        self, ask: Callable[[], AIMessage], messages: Sequence[BaseMessage], tools: Sequence[BaseTool]
    ) -> AIMessage:
        """The answer of `ask`, one request, paid for: `response_metadata` tells its `cost`.

        Where the answer does not tell its tokens, or tells more than can be, the most that it can have cost
        counts; so it does for a turn without an answer that the provider may charge for all the same (a
        timeout). Within a trace answers are kept: the same conversation of the same agent is not asked, and
        not paid, a second time, and `response_metadata` says that it is `recorded`. A turn that ends neither
        way (a kill, Ctrl-C, a request that is given up) stays marked in the ledger. Raises
        BudgetExceededError, without asking, where the turn could pass the budget.
        """
        texts = [json.dumps(convert_to_openai_messages(list(messages)), ensure_ascii=False)]
        texts += [json.dumps(convert_to_openai_tool(tool), ensure_ascii=False) for tool in tools]
        trace = current_trace_id()
        # With more tokens an answer that was cut off may be whole: it is another turn.
        key = digest(["turn", trace, self.agent, self.model, self.max_tokens, texts]) if trace else None
        if key is not None and (kept := self.purse.answer(key)) is not None:
            return _recorded(kept)
        reserved = most(self.price, texts, self.max_tokens)
        unanswered = AgentTurn(self.agent, self.model, 0, 0, reserved, trace)
        mark = self.purse.reserve(unanswered)
        try:
            answer = ask()
            used = answer.usage_metadata
            told = counted(used["input_tokens"], used["output_tokens"]) if used else None
            told = believed(told, sum(len(text.encode()) for text in texts), self.max_tokens)
            if told is None:
                answer.usage_metadata = None  # what is no count is none in the trace, either
            tokens = told or (0, 0)
            paid = cost(self.price, *tokens) if told else reserved
            said = json.dumps(message_to_dict(answer), ensure_ascii=False, default=str)
            turn = AgentTurn(self.agent, self.model, *tokens, paid, trace, key, said if key else None)
            if self.price is not None:
                answer.response_metadata["cost"] = paid
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, GivenUpError):
                self.purse.settle(mark, unanswered if _may_be_charged(error) else None)
            else:  # Ctrl-C: it may have been answered, and counts; but others do not wait for it
                self.purse.leave(mark)
            raise
        self.purse.settle(mark, turn)
        return answer


def _may_be_charged(error: Exception) -> bool:
    """Whether a turn that ended so may have been answered. What we raise ourselves is raised before that."""
    return not isinstance(error, (SermError, StopRequestedError)) and problem_of_provider(error).charged


def _recorded(kept: str) -> AIMessage:
    """An answer that is paid already: it bears no tokens and no cost, so that none count twice."""
    answer = messages_from_dict([json.loads(kept)])[0]
    if not isinstance(answer, AIMessage):
        raise SermError(f"a kept turn is no answer of a model but a {type(answer).__name__}.")
    answer.usage_metadata = None
    answer.response_metadata["recorded"] = True
    return answer
