"""What the tests of the client have in common: what is asked, and completions with parts of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from chat_stub import Raw, Say, completion

from serm.llm.asking import Reply
from serm.llm.openai_compatible import ChatClient
from serm.llm.parse import grade_schema, parse_grade

SCHEMA = grade_schema(["grade"], [0, 1, 2, 3])
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
Use = Callable[..., Any]


def say(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


async def ask(client: ChatClient, text: str = "a", *, logprobs: bool = False) -> Reply[Any]:
    return await client.ask(say(text), parse_grade, schema=SCHEMA, path=0, logprobs=logprobs)


def with_message(move: Say, **parts: Any) -> Raw:
    """A completion whose first choice or message has further parts."""
    body = completion(move)
    body["choices"][0].update({name: value for name, value in parts.items() if name == "logprobs"})
    body["choices"][0]["message"].update({k: v for k, v in parts.items() if k != "logprobs"})
    return Raw(json.dumps(body).encode())
