"""The retry layer of agents' turns: the judges' own rules (`retry`), around clients that do not retry.

Each request of a client that repeats by itself would be charged for, and one alone be reserved and counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from langchain_core.language_models import BaseChatModel

from serm.core.errors import SermError
from serm.llm.brake import Brake, StopRequestedError
from serm.llm.provider_errors import problem_of_provider
from serm.llm.retry import back_off
from serm.llm.unwanted import CHOICE, PARTS, Unwanted

T = TypeVar("T")

FORCED: Final = "any"
"""LangChain's word for a choice of tools that has to be made; each package has its provider's for it."""


def asked_again(ask: Callable[[], T], retries: int, brake: Brake) -> T:
    """What `ask` returns, asked up to `retries` times more where that can help.

    Raises what the last attempt raised. Errors of our own are raised at once: the budget, the disk, and what
    models in this process raise once they have tried as often as they may. So is StopRequestedError, in place
    of a further attempt and of the wait before it.
    """
    jitter = random.Random()
    attempt = 0
    while True:
        brake.check()
        try:
            return ask()
        except (SermError, StopRequestedError):
            raise
        except Exception as error:
            problem = problem_of_provider(error)
            if not problem.again or attempt == retries:
                raise
        brake.wait(back_off(attempt, problem.wait, jitter))
        attempt += 1


def without(model: BaseChatModel, out: Collection[str]) -> BaseChatModel:
    """The model without the parts `out` of its sampling; the choice of a tool is no part of a model."""
    left_out = dict.fromkeys(name for name in PARTS if name in out)
    return model.model_copy(update=left_out) if left_out else model


def sent_parts(model: BaseChatModel, out: Collection[str]) -> dict[str, Any]:
    """Of the parts that a model may refuse by name, those that its requests have: its own, and that it has to
    call a tool, unless that is among those left `out`."""
    own = {name: value for name in PARTS if (value := getattr(model, name, None)) is not None}
    return own if CHOICE in out else {**own, CHOICE: FORCED}


def refused_parts(known: Unwanted, sent: Mapping[str, Any], error: Exception) -> frozenset[str]:
    """The parts of a request that an error refuses by name, so that they can be left out."""
    if isinstance(error, (SermError, StopRequestedError)):
        return frozenset()
    problem = problem_of_provider(error)
    return known.named(sent, problem.failure.message) if problem.objects else frozenset()
