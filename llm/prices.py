"""Which models need a price where there is a budget: one rule, for judges and for agents."""

from __future__ import annotations

from typing import Final

from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.core.settings_loop import Price
from serm.llm.budget import price_of
from serm.llm.providers import FREE
from serm.llm.spec import BackendSpec

_FREE_KINDS: Final = ("http", "vllm", "scripted")
"""Kinds of models that cost nothing where no price is stated: a server by its URL, this process, a file."""


def is_free(spec: BackendSpec) -> bool:
    """Whether a model costs nothing where no price is stated: it runs on machines of one's own."""
    return spec.kind in _FREE_KINDS or (spec.kind == "langchain" and spec.target in FREE)


def stated_price(settings: Settings, spec: BackendSpec, *names: str, key: str) -> Price | None:
    """The price of a model's tokens, under the first of `names` that has one; None: they cost nothing.

    Raises ConfigError where there is a budget and the model is not free; `key` is the config's that names it.
    """
    price = price_of(settings.llm.prices, *names)
    if price is None and settings.budget.currency is not None and not is_free(spec):
        raise ConfigError(
            f"`budget.currency` is set, and there is no price for `{spec.model}` (`{key}`).",
            "State one under `llm.prices`, as money for a million tokens.",
        )
    return price
