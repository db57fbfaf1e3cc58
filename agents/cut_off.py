"""Turns of a model that broke off at the limit of their tokens: what they ask for is often no call at all."""

from __future__ import annotations

from typing import Final

from langchain_core.messages import AIMessage, BaseMessage

from serm.llm.endings import LENGTH, cut_at, ending_of

_LIMIT: Final = "cut_off_at"
"""Where a message says which limit it was: whoever rebukes a model knows no settings."""


def with_limit(message: AIMessage, limit: int) -> AIMessage:
    """The message, which says what cut it off, where something did."""
    if ending_of(message.response_metadata) != LENGTH:
        return message
    return message.model_copy(update={"response_metadata": {**message.response_metadata, _LIMIT: limit}})


def cut_off(message: BaseMessage) -> str:
    """That a turn was cut off, at which limit, and that it may be raised; "" of one that is whole."""
    told = message.response_metadata
    return cut_at(told.get(_LIMIT) or 0) if ending_of(told) == LENGTH else ""
