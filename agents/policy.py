"""Who decides for an agent: a tool-calling chat model, or rules that need none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import ValidationError

from serm.agents.cut_off import with_limit
from serm.agents.loop import Decide
from serm.agents.sent_messages import sendable
from serm.agents.tool_calls import identified
from serm.core.errors import AgentError, ConfigError
from serm.core.settings import Settings
from serm.llm.brake import Brake
from serm.llm.langchain_messages import keepable_message
from serm.llm.unwanted import CHOICE, PARTS, Unwanted

if TYPE_CHECKING:
    from serm.llm.purse import Purse, Till

BEHIND_SERVERS: Final = ("openai", "http", "langchain")
"""Kinds whose turns have `llm.timeout`. The others are models in this process: what they wait for is each
other."""

Said = list[dict[str, Any]]  # what the tools have answered so far, the first answer first
Call = tuple[str, dict[str, Any]]  # a tool and its arguments


@dataclass(frozen=True, slots=True)
class ChatPolicy:
    """A chat model with the agent's tools bound to it. The model's client retries nothing: that is done here,
    so that each request is paid for by itself."""

    model: BaseChatModel
    agent: str
    label: str
    till: Till | None = None  # None: nobody counts what turns cost
    retries: int = 0
    patience: float | None = None  # seconds a request; None: a model in this process, which has no server
    max_tokens: int = 0  # of one answer; 0: nobody says
    brake: Brake = field(default_factory=Brake)
    _unwanted: Unwanted = field(default_factory=lambda: Unwanted((*PARTS, CHOICE)), init=False)

    def __call__(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool], /) -> AIMessage:
        """Ask for a tool call. A model that refuses a temperature or a seed is asked without, from then on,
        as a judge is, and one that refuses to be made to call a tool may call one or none: a refusal costs
        nothing, and is no retry. What it said that no server could read is not sent back to it as it was.

        Raises StopRequestedError where a request is not sent, or given up, as somebody has asked to stop."""
        from serm.llm.turn_retry import (  # brings a provider's client along
            asked_again,
            refused_parts,
            sent_parts,
            without,
        )

        sent = sendable(messages)

        def ask() -> AIMessage:
            dropped: set[str] = set()
            while True:
                self.brake.check()
                out = self._unwanted.refused.union(dropped)
                model = without(self.model, out)
                parts = sent_parts(model, out)
                try:
                    answer = self._answer(model, sent, tools, parts.get(CHOICE, "auto"))
                except Exception as error:
                    named = refused_parts(self._unwanted, parts, error)
                    if not named:
                        raise
                    dropped |= named
                    continue
                self._unwanted.answered(parts, dropped)
                return answer

        till = self.till
        paid = ask if till is None else lambda: till.pay(ask, sent, tools)
        return asked_again(paid, self.retries, self.brake)

    def _answer(
        self, model: BaseChatModel, messages: Sequence[BaseMessage], tools: Sequence[BaseTool], choice: str
    ) -> AIMessage:
        """One request, within `patience`. The agent's name travels in the call's metadata, which no provider
        sees."""
        from serm.llm.elsewhere import waited_for
        from serm.llm.odd_calls import misread

        bound = model.bind_tools(list(tools), tool_choice=choice)
        config = RunnableConfig(metadata={"agent": self.agent}, run_name=self.agent)
        try:
            answer = (
                bound.invoke(list(messages), config)
                if self.patience is None
                else waited_for(bound.ainvoke(list(messages), config), self.patience, self.brake)
            )
        except ValidationError as error:
            if (odd := misread(error)) is None:
                raise
            answer = odd
        if not isinstance(answer, AIMessage):
            raise AgentError(
                f"the model {self.label} answered with a {type(answer).__name__}.",
                "Name a chat model that calls tools in `agents.llm`, or set `agents.policy: rules`.",
            )
        return identified(with_limit(keepable_message(answer), self.max_tokens), messages)


@dataclass(frozen=True, slots=True)
class Rules:
    """A plan: from what the tools have answered so far to the next call. The same every time."""

    plan: Callable[[Said], Call]
    label: str = "rules"

    def __call__(self, messages: Sequence[BaseMessage], _tools: Sequence[BaseTool], /) -> AIMessage:
        """Speak as a chat model would."""
        said = [json.loads(message.text) for message in messages if isinstance(message, ToolMessage)]
        name, arguments = self.plan(said)
        return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{len(said) + 1}"}])


def decider(settings: Settings, agent: str, purse: Purse | None = None) -> Decide | None:
    """The chat model that decides for `agent`, or None where its rules do; its turns are paid from `purse`.

    `auto` takes a chat model where `agents.llm` names one. Who can stop the purse's turns can stop these.
    Raises ConfigError where `llm` has none to take or one that calls no tools, where there is a budget and no
    price for it, and where its key is not set.
    """
    chosen = settings.agents
    if chosen.policy == "rules" or (chosen.policy == "auto" and not chosen.llm):
        return None
    if not chosen.llm:
        raise ConfigError(
            "agents.policy is llm, and agents.llm names no chat model.",
            "Set agents.llm, for instance to `openai:gpt-4o`, or agents.policy to `rules`.",
        )
    from serm.llm.chat import chat_model, check_calls_tools  # rules need no client of any provider
    from serm.llm.prices import stated_price
    from serm.llm.purse import Till
    from serm.llm.spec import parse_backend

    spec = parse_backend(chosen.llm)
    check_calls_tools(spec)
    price = stated_price(settings, spec, spec.model, spec.text, key="agents.llm")
    till = Till(purse, agent, spec.model or spec.text, price, settings.llm.max_tokens) if purse else None
    model = chat_model(spec, settings.llm, folder=settings.folder, key_variable=chosen.api_key_env)
    patience = settings.llm.timeout if spec.kind in BEHIND_SERVERS else None
    brake = purse.brake if purse else Brake()
    max_tokens = settings.llm.max_tokens
    return ChatPolicy(model, agent, spec.text, till, settings.llm.retries, patience, max_tokens, brake)
