"""Calls of tools whose arguments are JSON but no object, such as `[24]`: a fault of the model, not of its
provider.

LangChain's packages put arguments that are no JSON at all into `invalid_tool_calls`. Of these they make calls
that its `AIMessage` then refuses.
"""

from __future__ import annotations

import json

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call
from pydantic import ValidationError


def misread(error: ValidationError) -> AIMessage | None:
    """The answer that a provider's package could not make a message of, with its calls as invalid ones; None
    where the error is about something else. The calls' names, their ids and the count of tokens are lost."""
    faults = [fault for fault in error.errors() if fault["loc"][:1] == ("tool_calls",)]
    if error.title != AIMessage.__name__ or not faults:
        return None
    calls = [
        invalid_tool_call(name="", args=json.dumps(fault["input"], default=str), error=fault["msg"])
        for fault in faults
    ]
    return AIMessage("", invalid_tool_calls=calls)
