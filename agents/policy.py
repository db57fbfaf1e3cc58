"""Who decides for an agent: a tool-calling chat model, or rules that need none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool

from serm.agents.loop import Decide
from serm.core.errors import AgentError, ConfigError
from serm.core.settings import Settings

Step = Callable[[list[dict[str, Any]]], tuple[str, dict[str, Any]] | None]
"""From the tool results so far (parsed JSON, in order) to the next call, or None to pass over this step."""


@dataclass(frozen=True)
class ChatPolicy:
    """A chat model with the agent's tools bound to it."""

    model: BaseChatModel
    agent: str
    label: str

    def __call__(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool]) -> AIMessage:
        """Ask the model. The agent's name travels in the call's metadata; no provider sees it."""
        answer = self.model.bind_tools(list(tools)).invoke(
            list(messages), config={"metadata": {"agent": self.agent}, "run_name": self.agent}
        )
        if not isinstance(answer, AIMessage):
            raise AgentError(f"the model {self.label} answered with a {type(answer).__name__}.")
        return answer


@dataclass(frozen=True)
class Rules:
    """A plan that is the same every time: one step a turn."""

    plan: Callable[[list[tuple[str, dict[str, Any]]]], tuple[str, dict[str, Any]]]
    label: str = "rules"

    def __call__(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool]) -> AIMessage:
        """The next call, from what the tools have said so far."""
        import json

        said = [
            (str(message.name), json.loads(str(message.content)))
            for message in messages
            if isinstance(message, ToolMessage)
        ]
        name, arguments = self.plan(said)
        return AIMessage(
            "",
            tool_calls=[{"name": name, "args": arguments, "id": f"rules-{len(said)}", "type": "tool_call"}],
        )


def decider(settings: Settings, agent: str) -> Decide | None:
    """The chat model that decides for `agent`, or None where its rules do.

    `auto` takes a chat model where `agents.llm` names one. Raises ConfigError where `llm` has none to take.
    """
    chosen = settings.agents
    if chosen.policy == "rules" or (chosen.policy == "auto" and not chosen.llm):
        return None
    if not chosen.llm:
        raise ConfigError(
            "agents.policy is llm, and agents.llm names no chat model.",
            "Set agents.llm, for example to http://localhost:8000/v1#Qwen/Qwen3-8B, or agents.policy to rules.",
        )
    from serm.llm.chat import chat_model
    from serm.llm.spec import parse_backend

    return ChatPolicy(chat_model(parse_backend(chosen.llm), settings.llm), agent, chosen.llm)
