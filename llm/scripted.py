"""A chat model that plays given turns: what tests and offline demonstrations drive agents and judges with.

What it says depends on the conversation alone, so it may be asked from anywhere, and again: a conversation
that holds n turns of the model is answered with turn n (see `script` for the file).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult

from serm.core.errors import AgentError
from serm.core.records import Failure
from serm.llm import asking
from serm.llm.asking import Message, Reply, T
from serm.llm.script import Script, Turn, read_script


class ScriptedChatModel(BaseChatModel):
    """For agents. Its messages say that they are simulated; a script that is over raises AgentError."""

    file: Path
    section: str = ""  # whose turns are played; else those of the agent that the call's metadata names
    simulated: bool = True

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> ScriptedChatModel:  # noqa: ARG002
        """The model itself: its script says what it calls, be it there or not."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - a script is not cut
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        number = sum(isinstance(message, AIMessage) for message in messages)
        newest = next((str(m.content) for m in reversed(messages) if not isinstance(m, AIMessage)), "")
        agent = (run_manager.metadata or {}).get("agent", "") if run_manager else ""
        turn = read_script(self.file, self.section or str(agent)).play(newest, number)
        if turn is None:
            raise AgentError(
                f"the script {self.file.name} is over: it holds no turn {number + 1}.",
                "Add turns, or let the last one end the agent's work.",
            )
        return ChatResult(generations=[ChatGeneration(message=_message(turn, number))])


def _message(turn: Turn, number: int) -> AIMessage:
    calls = [
        ToolCall(name=name, args=dict(args), id=f"turn-{number + 1}-{place}")
        for place, (name, args) in enumerate(turn.tool_calls, start=1)
    ]
    return AIMessage(
        content=turn.text,
        tool_calls=calls,
        response_metadata={"model_name": "scripted", "simulated": True},
    )


class ScriptedAsker:
    """For judges: fulfils `Asker` and `Converser`.

    Asked for an answer, path n hears turn n, the turns repeated as often as needed. In a conversation with
    tools, whatever its path, n turns of the model are followed by turn n + 1, and by "" when they run out.
    """

    simulated = True
    remote = False
    model = "scripted"

    def __init__(self, script: Script) -> None:
        self._script = script
        self.sampling: Mapping[str, object] = {"script": script.revision}
        self.deterministic = script.plain <= 1

    async def ask(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | Failure],
        *,
        schema: dict[str, Any],  # noqa: ARG002 - a script says what it says
        path: int,
        logprobs: bool = False,  # noqa: ARG002 - it has none
    ) -> Reply[T]:
        turn = self._script.play(messages[-1]["content"], path % max(1, self._script.plain))
        value = read(turn.text if turn else "")
        if isinstance(value, Failure):
            return Reply(None, value)
        return Reply(value, None)

    async def turn(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],  # noqa: ARG002 - a script calls what it calls
        *,
        path: int,  # noqa: ARG002
    ) -> Reply[asking.Turn]:
        number = sum(message["role"] == "assistant" for message in messages)
        newest = next((m["content"] for m in reversed(messages) if m["role"] != "assistant"), "")
        turn = self._script.play(newest, number) or Turn()
        calls = tuple(
            asking.ToolCall(f"turn-{number + 1}-{place}", name, json.dumps(args, default=str))
            for place, (name, args) in enumerate(turn.tool_calls, start=1)
        )
        return Reply(asking.Turn(turn.text, calls), None)

    async def close(self) -> None:
        return None
