"""The retry layer of agents' turns: the judges' own rules (`retry`), around clients that do not retry.

Each request of a client that repeats by itself would be charged for, and one alone be reserved and counted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel

from serm.core.errors import SermError
from serm.llm.provider_errors import problem_of_provider
from serm.llm.retry import back_off
from serm.llm.unwanted import PARTS, Unwanted

T = TypeVar("T")


def asked_again(ask: Callable[[], T], retries: int) -> T:
    """What `ask` returns, asked up to `retries` times more where that can help.

    Raises what the last attempt raised. Errors of our own are raised at once: the budget, the disk, and what
    models in this process raise once they have tried as often as they may.
    """
    jitter = random.Random()
    attempt = 0
    while True:
        try:
            return ask()
        except SermError:
            raise
        except Exception as error:
            problem = problem_of_provider(error)
            if not problem.again or attempt == retries:
                raise
        time.sleep(back_off(attempt, problem.wait, jitter))
        attempt += 1


def sent_parts(model: BaseChatModel) -> dict[str, Any]:
    """Of the parts that a model may refuse by name, those that its requests have."""
    return {name: value for name in PARTS if (value := getattr(model, name, None)) is not None}


def refused_parts(known: Unwanted, model: BaseChatModel, error: Exception) -> frozenset[str]:
    """The parts of the model's requests that an error refuses by name, so that they can be left out."""
    if isinstance(error, SermError):
        return frozenset()
    problem = problem_of_provider(error)
    return known.named(sent_parts(model), problem.failure.message) if problem.objects else frozenset()
