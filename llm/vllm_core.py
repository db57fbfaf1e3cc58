"""vLLM's asynchronous engine, once it runs (tried with vLLM 0.32)."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

from serm.core.errors import JudgeError
from serm.llm.asking import Message, Token
from serm.llm.engine import HiccupError, Said, TooLongError, UnfitError, Wish

_ALTERNATIVES: Final = 20
"""Likeliest tokens that are asked for where the watched ones are no tokens of the model: vLLM's own limit."""
_SPACED: Final = ("{}", "Ġ{}", "▁{}")
"""How vocabularies write a token, alone and after a space (byte-level BPE, SentencePiece)."""


class VllmCore:
    """Fulfils `Core`."""

    def __init__(self, engine: Any, *, sleeps: bool) -> None:
        from vllm import inputs
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

        self.sleeps = sleeps
        self._tokens_input = getattr(inputs, "tokens_input", None) or _tokens_input  # older versions lack it
        self._engine, self._tokenizer = engine, engine.tokenizer
        self._params, self._structured = SamplingParams, StructuredOutputsParams
        self._whole = RequestOutputKind.FINAL_ONLY
        self._longest = int(engine.model_config.max_model_len)
        self._exact = hasattr(SamplingParams(), "logprob_token_ids")
        self._numbers = count(1)

    async def generate(self, wish: Wish) -> Said:
        prompt = self._prompt(wish)
        if len(prompt) >= self._longest:
            raise TooLongError(
                f"the prompt has {len(prompt):,} tokens, and with its answer no more than {self._longest:,} "
                "fit (`llm.vllm.max_model_len`)"
            )
        last = None
        try:
            async for output in self._engine.generate(
                self._tokens_input(prompt), self._sampling(wish), f"serm-{next(self._numbers)}"
            ):
                last = output
        except Exception as error:
            raise self._kind_of(error) from error
        if last is None:
            raise HiccupError("the engine gave no answer")
        (answer,) = last.outputs
        return Said(
            text=answer.text,
            tokens_in=len(last.prompt_token_ids),
            tokens_out=len(answer.token_ids),
            cut=answer.finish_reason == "length",
            tokens=_tokens(answer.token_ids, answer.logprobs or ()),
        )

    async def sleep(self) -> None:
        await self._engine.sleep(level=1)  # weights to the host's memory, the cache of prefixes is dropped

    async def wake(self) -> None:
        hand_back_cached_memory()
        try:
            await self._engine.wake_up()
        except Exception as error:
            raise JudgeError(
                f"vLLM's engine does not wake up: {short(error)}",
                "The device may be full: lower `llm.vllm.gpu_memory_utilization`.",
            ) from error

    def shut_down(self) -> None:
        self._engine.shutdown()
        self._engine = None
        gc.collect()  # its finaliser fails where it only runs as the interpreter ends

    def _prompt(self, wish: Wish) -> list[int]:
        """The conversation by the model's own template. Raises UnfitError where that refuses it."""
        try:
            return list(
                self._tokenizer.apply_chat_template(
                    [_plain(message) for message in wish.messages],
                    tools=[dict(tool) for tool in wish.tools] or None,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=False,
                )
            )
        except Exception as error:  # a template is a program of the model's makers: it may raise anything
            raise UnfitError(f"the model's chat template refuses the conversation: {short(error)}") from error

    def _sampling(self, wish: Wish) -> Any:
        return self._params(
            temperature=wish.temperature,
            seed=wish.seed,
            max_tokens=wish.max_tokens,
            structured_outputs=self._structured(json=dict(wish.schema)),
            output_kind=self._whole,
            **(self._logprobs(wish.watched) if wish.watched else {}),
        )

    def _logprobs(self, watched: Sequence[str]) -> dict[str, object]:
        """Exactly the watched tokens' log-probabilities where vLLM can and each is one token; else the
        likeliest tokens'."""
        vocabulary: Mapping[str, int] = self._tokenizer.get_vocab()
        numbers = {text: _numbers_of(text, vocabulary) for text in watched}
        if self._exact and all(numbers.values()):
            return {"logprob_token_ids": sorted({number for some in numbers.values() for number in some})}
        return {"logprobs": _ALTERNATIVES}

    def _kind_of(self, error: Exception) -> Exception:
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        if isinstance(error, EngineDeadError) or self._engine.errored:
            return JudgeError(
                f"vLLM's engine has died: {short(error)}",
                "Set VLLM_LOGGING_LEVEL=INFO to see why. The same command goes on.",
            )
        if isinstance(error, EngineGenerateError):
            return HiccupError(short(error.__cause__ or error))
        return UnfitError(short(error))


def hand_back_cached_memory() -> None:
    """What torch keeps on the device for its next use in this process, the engine needs for itself."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _tokens_input(numbers: list[int]) -> dict[str, object]:
    return {"prompt_token_ids": numbers}


def _plain(message: Message) -> Message:
    """A message as chat templates read it: the arguments of tool calls are objects, not their text."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _numbers_of(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    forms = [form.format(text) for form in _SPACED]
    return [vocabulary[form] for form in forms if form in vocabulary]


def _tokens(numbers: Sequence[int], logprobs: Sequence[Mapping[int, Any]]) -> tuple[Token, ...]:
    """The answer's tokens; empty where no log-probabilities came."""
    return tuple(
        Token(
            text=place[number].decoded_token or "",
            alternatives=tuple(
                sorted(
                    ((item.decoded_token or "", float(item.logprob)) for item in place.values()),
                    key=lambda pair: -pair[1],
                )
            ),
        )
        for number, place in zip(numbers, logprobs, strict=False)
        if number in place
    )


def short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
