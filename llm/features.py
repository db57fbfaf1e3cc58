"""What a server may not know, and what it is asked for instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serm.llm.asking import Message
from serm.llm.written_calls import call_schema, in_words

LOGPROBS, SCHEMA, OBJECT, FORCED = "logprobs", "json_schema", "json_object", "tool_choice"
_NAMES: Final[Mapping[str, re.Pattern[str]]] = {
    LOGPROBS: re.compile(r"log_?probs", re.IGNORECASE),
    SCHEMA: re.compile(r"response_?format|json_?schema|schema|grammar|guided|structured", re.IGNORECASE),
    OBJECT: re.compile(r"response_?format|json_?object|grammar|guided|structured", re.IGNORECASE),
    FORCED: re.compile(r"tool_?choice|required|forced", re.IGNORECASE),
}
"""How a refusal speaks of a feature."""
_TOP: Final = 20
"""Likely tokens a place: the most that OpenAI gives, and more than the four that matter."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a request asks for beside its messages: the features in it that a server may refuse, and all of
    its options."""

    features: tuple[str, ...]
    options: Mapping[str, Any]


class Knowledge:
    """What one server was seen to accept and to refuse. It is asked for the most, until it refuses: with
    log-probabilities, then without; by a JSON schema, then for any JSON object, then for a text; of tools, to
    call one, then to call one or none; where its model writes a text all the same, to write a call down.

    A refusal may be the pair's fault as well (a text that is too long). So a feature is given up where the
    refusal names it, or where the server has never accepted it; and it is remembered as unknown only once a
    request without it was answered.
    """

    def __init__(self) -> None:
        self._accepted: set[str] = set()
        self.refused: set[str] = set()
        self.mute = False  # it took tools, and its model called none: now it is held to the schema of a call

    def offer(self, schema: dict[str, Any], *, logprobs: bool, without: Collection[str] = ()) -> Offer:
        """The most to ask for of an answer, `without` what this request was refused for."""
        out = self.refused.union(without)
        form = next((name for name in (SCHEMA, OBJECT) if name not in out), None)
        features: list[str] = []
        options: dict[str, Any] = {}
        if logprobs and LOGPROBS not in out:
            features.append(LOGPROBS)
            options |= {"logprobs": True, "top_logprobs": _TOP}
        if form is not None:
            features.append(form)
            options |= _form(form, "answer", schema)
        return Offer(tuple(features), options)

    def offer_tools(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        *,
        without: Collection[str] = (),
    ) -> Offer:
        """The most to ask for of a turn: that it calls one of `tools`, or writes a call, or that it may."""
        if not tools:
            return Offer((), {})
        out = self.refused.union(without)
        if self.mute and SCHEMA not in out:
            written = _form(SCHEMA, "call", call_schema(tools))
            return Offer((SCHEMA,), {"messages": in_words(messages, tools), **written})
        forced = FORCED not in out
        options = {"tools": list(tools), "tool_choice": "required" if forced else "auto"}
        return Offer((FORCED,) if forced else (), options)

    def is_mute(self, asked: Offer) -> bool:
        """Its model wrote a text in place of a call, asked like this. Whether there is another way to ask."""
        self.mute = True
        return SCHEMA not in asked.features and SCHEMA not in self.refused

    def fault(self, features: tuple[str, ...], refusal: str) -> str | None:
        """The feature to give up after a refusal; None where it is the request's own fault."""
        named = [name for name in features if _NAMES[name].search(refusal)]
        return next(iter(named or (name for name in features if name not in self._accepted)), None)

    def answered(self, features: tuple[str, ...], without: Collection[str]) -> None:
        """A request with `features` was answered, after it was refused with those in `without`."""
        self._accepted.update(features)
        self.refused.update(name for name in without if name not in self._accepted)


def _form(kind: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    described = {"json_schema": {"name": name, "schema": schema, "strict": True}}
    return {"response_format": {"type": kind, **(described if kind == SCHEMA else {})}}
