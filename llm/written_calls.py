"""Calls of tools that a model writes down where nothing reads them for it: JSON of a name and arguments.

For models in this process, and for servers that offer tools and make no model call them: such a model is told
of the tools in words, held to the schema of a call, and told the results in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serm.llm.asking import Message, ToolCall, Turn
from serm.llm.model_json import try_json

_HOW: Final = """

You may call these tools; nothing else that you say is heard:
{tools}
Answer with one call, as a JSON object and nothing else: {{"name": the tool's name, "arguments": {{...}}}}"""


def call_schema(tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """JSON schema of one call of one of the tools: its name and its arguments."""
    shared: dict[str, Any] = {}
    return {"anyOf": list(_calls(tools, shared)), **({"$defs": shared} if shared else {})}


def _calls(tools: Sequence[dict[str, Any]], shared: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for tool in tools:
        function = tool["function"]
        arguments = dict(function.get("parameters") or {"type": "object"})
        shared |= arguments.pop("$defs", {})  # what refers to them, does so from the root
        yield {
            "type": "object",
            "properties": {"name": {"const": function["name"]}, "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }


def written_turn(text: str) -> Turn:
    """A turn that is no call is one of text alone: whoever asked says what is wrong with it."""
    said = try_json(text)
    if not isinstance(said, dict) or "arguments" not in said or not isinstance(said.get("name"), str):
        return Turn(text)
    return Turn("", (ToolCall("", said["name"], json.dumps(said["arguments"], ensure_ascii=False)),))


def in_words(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[Message]:
    """A conversation with tools as one without: tools in the system's words, calls and results as texts."""
    described = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    plain: list[Message] = []
    for message in map(_in_words, messages):
        if plain and message["role"] == plain[-1]["role"]:  # some templates want turn and turn about
            plain[-1] = {**plain[-1], "content": f"{plain[-1]['content']}\n\n{message['content']}"}
        else:
            plain.append(message)
    if not plain or plain[0]["role"] != "system":
        plain.insert(0, {"role": "system", "content": ""})
    plain[0] = {**plain[0], "content": (plain[0]["content"] + _HOW.format(tools=described)).strip()}
    return plain


def _in_words(message: Message) -> Message:
    if message["role"] == "tool":
        return {"role": "user", "content": f"The tool's answer: {message['content']}"}
    calls: Sequence[Mapping[str, Any]] = message.get("tool_calls") or ()
    if not calls:
        return message
    written = (
        f'{{"name": {json.dumps(call["function"]["name"])}, "arguments": {call["function"]["arguments"]}}}'
        for call in calls
    )
    return {"role": "assistant", "content": "\n".join(written)}
