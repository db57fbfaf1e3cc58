"""LangChain's client of OpenAI's protocol, made to bear what models write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from serm.core.errors import AgentError
from serm.llm.keys import KEY_REFUSED, hide_key
from serm.llm.model_json import try_json
from serm.llm.retry import problem_of

_ODD: Final = "no object: "
"""Before arguments it makes them no JSON, so that LangChain takes the call for an invalid one; it is taken
off again."""


class OpenAIChat(ChatOpenAI):
    """It has a call whose arguments are JSON but no object among the `invalid_tool_calls`, under its own name
    and with what the server counted. LangChain's own class fails at it (`odd_calls`). What a server says in
    an error bears no key, and where it refuses the key AgentError says what to do."""

    label: str = ""  # what the config calls it
    key_hint: str = ""  # what to do where the key is refused; "": the server's own words are enough

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._without_key():
            return super()._generate(messages, stop, run_manager, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._without_key():
            return await super()._agenerate(messages, stop, run_manager, **kwargs)

    @contextmanager
    def _without_key(self) -> Iterator[None]:
        """Take the key out of any error: a gateway that answers 200 with an error in it has LangChain raise
        its words."""
        try:
            yield
        except Exception as error:
            if isinstance(self.openai_api_key, SecretStr):
                hide_key(error, self.openai_api_key.get_secret_value())
            if isinstance(error, openai.APIStatusError):
                self._tell_refusal(error)
            raise

    def _tell_refusal(self, error: openai.APIStatusError) -> None:
        """Raises AgentError where it is the key that is refused."""
        said = problem_of(error).failure.message
        if self.key_hint and said.startswith(KEY_REFUSED):
            raise AgentError(
                f"`{self.label}` refused a request: {said.rstrip('.')}.", self.key_hint
            ) from error

    def _create_chat_result(
        self, response: dict[str, Any] | openai.BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        for function in _functions(response):
            text = function.arguments
            if not isinstance(text, str):  # some servers parse them
                text = json.dumps(text, ensure_ascii=False)
            said = try_json(text)
            function.arguments = text if not said or isinstance(said, dict) else _ODD + text
        result = super()._create_chat_result(response, generation_info)
        for generation in result.generations:
            message = generation.message
            for call in message.invalid_tool_calls if isinstance(message, AIMessage) else ():
                call["args"] = (call["args"] or "").removeprefix(_ODD)
        return result


def _functions(response: object) -> list[Any]:
    """The functions that an answer calls, whatever a server has left out of it."""
    messages = [getattr(choice, "message", None) for choice in getattr(response, "choices", None) or ()]
    calls = [call for message in messages for call in getattr(message, "tool_calls", None) or ()]
    functions = [getattr(call, "function", None) for call in calls]
    return [function for function in functions if hasattr(function, "arguments")]
