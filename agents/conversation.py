"""One reasoning path of a judge that is an agent: what was said, what it took, what was done."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

from serm.core.records import Answer, Failure, FailureKind, Step
from serm.llm.asking import Message, Reply, ToolCall, Turn
from serm.llm.model_json import try_json
from serm.llm.parse import GradeReply

_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")


def fit_name(name: str) -> str:
    """The name of a call as any server can read it: letters, digits, _ and -, at most 64 of them."""
    return _UNFIT.sub("_", name)[:64] or "unknown"


def own_id(given: str | None, seen: set[str], number: int) -> str:
    """The id of a conversation's call `number`: the one that was given, unless there is none or it is among
    those `seen`; it is added to these."""
    name = given if given and given not in seen else f"call-{number}"
    while name in seen:  # a model may number its calls as we do
        number += 1
        name = f"call-{number}"
    seen.add(name)
    return name


@dataclass
class Conversation:
    """Messages in OpenAI's form, and an account that is summed over turns."""

    messages: list[Message]
    steps: list[Step] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    latency: float = 0.0  # seconds, of the model alone
    requests: int = 0
    _since: int = field(default_factory=time.time_ns)

    def count(self, reply: Reply[Any]) -> None:
        """Add what a turn took."""
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        self.cost += reply.cost
        self.latency += reply.latency
        self.requests += reply.requests
        self._since = time.time_ns()

    def hear(self, turn: Turn) -> list[ToolCall]:
        """Take a turn into the conversation; its calls, each with an id of its own.

        Names and arguments that a server could not read are not repeated to it: some would refuse the whole
        conversation.
        """
        first = sum(len(message.get("tool_calls") or ()) for message in self.messages)
        seen: set[str] = {call["id"] for message in self.messages for call in message.get("tool_calls") or ()}
        calls = []
        for number, call in enumerate(turn.calls, start=first + 1):
            name = own_id(call.id, seen, number)
            calls.append(ToolCall(name, call.name, call.arguments))
        message: Message = {"role": "assistant", "content": turn.text}
        if calls:
            message["tool_calls"] = [_repeated(call) for call in calls]
        self.messages.append(message)
        return calls

    def answered(self, call: ToolCall, result: str, error: str) -> None:
        """What came of a call, told to the model and kept as a step."""
        told = f"Error: {error}" if error else result
        self.messages.append({"role": "tool", "tool_call_id": call.id, "content": told})
        self._step(Step(call.name, call.arguments, result, error))

    def rebuke(self, text: str, error: str) -> None:
        """Tell the model what was wrong with a turn that called nothing."""
        self.messages.append({"role": "user", "content": f"Error: {error}"})
        self._step(Step("answer", text, "", error))

    def graded(self, said: GradeReply) -> Answer:
        return self._answer(grade=said.grade, rationale=said.reason)

    def failed(self, failure: Failure | None) -> Answer:
        return self._answer(failure=failure or Failure(FailureKind.SERVER, "no turn came"))

    def _step(self, step: Step) -> None:
        now = time.time_ns()
        self.steps.append(Step(step.tool, step.given, step.result, step.error, self._since, now))
        self._since = now

    def _answer(self, **said: Any) -> Answer:
        return Answer(
            **said,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            cost=self.cost,
            latency=self.latency,
            requests=self.requests,
            steps=tuple(self.steps),
        )


def _repeated(call: ToolCall) -> dict[str, Any]:
    name = fit_name(call.name)
    said = try_json(call.arguments)
    arguments = call.arguments if isinstance(said, dict) else "{}"
    if isinstance(said, dict) and "\\u" in arguments:  # an escape may stand for what it cannot read, either
        arguments = json.dumps(said, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}
