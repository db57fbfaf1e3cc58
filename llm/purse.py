"""The money of agents: their turns are reserved and paid for as the judges' calls are, from one ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from serm.core.errors import BudgetExceededError
from serm.core.settings_loop import Price
from serm.llm.budget import cost, most
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import current_trace_id
from serm.storage.turns import AgentTurn


class Purse:
    """What a run may spend on agents. Safe to use from several threads.

    What judges and earlier processes have paid counts, too: it is in the ledger. Agents and judges of a run
    do not work at the same time, so nothing that a judge has reserved is overlooked here.
    """

    def __init__(self, limit: float | None, ledger: JudgmentStore) -> None:
        self._limit, self._ledger = limit, ledger
        self._reserved = 0.0
        self._lock = threading.Lock()

    def reserve(self, amount: float) -> None:
        """Raises BudgetExceededError where a turn of this cost could pass the limit."""
        with self._lock:
            if self._limit is not None:
                paid = self._ledger.spent()
                if paid + self._reserved + amount > self._limit:
                    raise BudgetExceededError(
                        f"the next turn of an agent could pass the budget of {self._limit:g}: "
                        f"{paid:.4g} is paid.",
                        "What was paid for is kept. Raise `budget.currency` and run it again to go on.",
                    )
            self._reserved += amount

    def settle(self, reserved: float, turn: AgentTurn | None) -> None:
        """A turn has ended; None: it failed before it was answered, and costs nothing."""
        with self._lock:
            if turn is not None:
                self._ledger.turned(turn)
            self._reserved -= reserved


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
        """The answer of `ask`, paid for: `response_metadata` tells its `cost`.

        Where the answer does not tell its tokens, the most that it can have cost counts. Raises
        BudgetExceededError, without asking, where that could pass the budget.
        """
        texts = [json.dumps(convert_to_openai_messages(list(messages)), ensure_ascii=False)]
        texts += [json.dumps(convert_to_openai_tool(tool), ensure_ascii=False) for tool in tools]
        reserved = most(self.price, texts, self.max_tokens)
        self.purse.reserve(reserved)
        turn: AgentTurn | None = None
        try:
            answer = ask()
            used = answer.usage_metadata
            tokens = (used["input_tokens"], used["output_tokens"]) if used else (0, 0)
            paid = cost(self.price, *tokens) if used else reserved
            turn = AgentTurn(self.agent, self.model, *tokens, paid, current_trace_id())
            if self.price is not None:
                answer.response_metadata["cost"] = paid
        finally:
            self.purse.settle(reserved, turn)
        return answer
