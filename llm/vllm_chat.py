"""A model that vLLM runs in this process, as the chat model of an agent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from serm.core.errors import AgentError
from serm.llm.asking import Converser, Reply, Turn
from serm.llm.elsewhere import waited_for
from serm.llm.endings import LENGTH


class VllmChatModel(BaseChatModel):
    """Each turn is a call of one of the bound tools; a turn that failed raises AgentError.

    Its engine is kept until the process ends, and rests when judges do.
    """

    converser: Any  # a `Converser`

    @property
    def _llm_type(self) -> str:
        return "vllm"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        """The model with tools, of which every turn calls one."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - a call ends where its JSON does
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> ChatResult:
        converser: Converser = self.converser
        conversation = convert_to_openai_messages(messages)
        turn = converser.turn(_listed(conversation), options.get("tools") or [], path=0)
        reply = waited_for(turn, None)  # no `asyncio.run`: a notebook's thread has a loop that runs
        if reply.value is None:
            raise AgentError(
                f"no turn came: {reply.failure.message if reply.failure else 'the engine said nothing'}.",
                "If it was cut off raise `llm.max_tokens`; VLLM_LOGGING_LEVEL=INFO shows the engine's log.",
            )
        return ChatResult(generations=[ChatGeneration(message=_message(reply, reply.value, len(messages)))])


def _listed(conversation: dict[str, Any] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return conversation if isinstance(conversation, list) else [conversation]


def _message(reply: Reply[Turn], turn: Turn, number: int) -> AIMessage:
    calls = [
        ToolCall(name=call.name, args=json.loads(call.arguments), id=f"call-{number}-{place}")
        for place, call in enumerate(turn.calls, start=1)
    ]
    usage = UsageMetadata(
        input_tokens=reply.tokens_in,
        output_tokens=reply.tokens_out,
        total_tokens=reply.tokens_in + reply.tokens_out,
    )
    told = {"finish_reason": LENGTH} if reply.cut else {}
    return AIMessage(content=turn.text, tool_calls=calls, usage_metadata=usage, response_metadata=told)
