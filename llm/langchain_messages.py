"""Between our messages, which are OpenAI's, and LangChain's. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import ToolCall as LangchainCall

from serm.llm.asking import Message, ToolCall
from serm.llm.completions import Completion, counted, read_tokens
from serm.llm.endings import ending_of
from serm.llm.model_json import keepable_value, try_json


def to_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Our messages as LangChain's. A call whose arguments are no JSON object is sent back as
    `{"arguments": THE TEXT}`: a provider would take nothing else."""
    return [_MAKE[message["role"]](message) for message in messages]


def _assistant(message: Message) -> BaseMessage:
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    return AIMessage(content=message.get("content") or "", tool_calls=calls)


_MAKE: Final[Mapping[str, Callable[[Message], BaseMessage]]] = {
    "system": lambda message: SystemMessage(content=message["content"]),
    "user": lambda message: HumanMessage(content=message["content"]),
    "assistant": _assistant,
    "tool": lambda message: ToolMessage(content=message["content"], tool_call_id=message["tool_call_id"]),
}


def _call(call: Mapping[str, Any]) -> LangchainCall:
    text = call["function"]["arguments"]
    arguments = try_json(text)
    given = arguments if isinstance(arguments, dict) else {"arguments": text}
    return LangchainCall(name=call["function"]["name"], args=given, id=call["id"], type="tool_call")


def keepable_message(message: AIMessage) -> AIMessage:
    """The message with all texts made keepable: they go into traces, ledgers and the next request."""
    parts = ("content", "tool_calls", "invalid_tool_calls", "additional_kwargs", "response_metadata")
    return message.model_copy(update={name: keepable_value(getattr(message, name)) for name in parts})


def to_completion(message: AIMessage, *, answer: str = "") -> Completion:
    """What a model said. `answer` is the tool that stands for the answer, where the provider has a model keep
    to a schema by calling a tool: its arguments are the text then."""
    calls = tuple(_calls(message))
    text = str(message.text)
    if answer and calls:
        text = next((call.arguments for call in calls if call.name == answer), text)
        calls = ()
    used = message.usage_metadata
    logprobs = message.response_metadata.get("logprobs")
    return Completion(
        text=text,
        calls=calls,
        tokens=read_tokens({"content": logprobs} if isinstance(logprobs, list) else logprobs),
        used=counted(used["input_tokens"], used["output_tokens"]) if used else None,
        end=ending_of(message.response_metadata),
    )


def _calls(message: AIMessage) -> Iterator[ToolCall]:
    for call in message.tool_calls:
        yield ToolCall(call["id"] or "", call["name"], json.dumps(call["args"], ensure_ascii=False))
    for bad in message.invalid_tool_calls:
        yield ToolCall(bad["id"] or "", bad["name"] or "", bad["args"] or "")
