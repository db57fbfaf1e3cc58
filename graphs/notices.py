"""What is worth a line before a run begins: rows left out, a base without words or layers for the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd

from serm.core.errors import ModelError
from serm.core.settings import Settings
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.layers import layer_stack
from serm.relevance_model.passes import has_dropout
from serm.relevance_model.vocabulary import UNKNOWN, by_language, measure, tokenizer_of
from serm.storage.dataset import DataSet
from serm.storage.windows import SMALLEST_WINDOW

UNDER_DROPOUT: Final = ("disagreement", "bald")
"""Agents that go by passes of the model under dropout."""
SAMPLE: Final = 200  # pairs of a language whose words are looked up; chosen
SHOWN: Final = 5  # reasons that are named, the commonest first
_TEXTS: Final = ("query", "title", "text", "language")


def data_notices(dataset: DataSet) -> Iterator[str]:
    """Rows that were rejected or that no set takes, by reason."""
    if dataset.rejected:
        reasons = _by_number(dataset.reject_reasons)
        yield (
            f"{dataset.rejected:,} rows are rejected and left out: {reasons}. "
            "rejects.jsonl beside the data set lists each."
        )
    if left := sum(dataset.left_out.values()):
        yield f"{left:,} good rows are left out: {_by_number(dataset.left_out)}."
    if again := dataset.logged_again:
        yield f"{again:,} rows log a pair again in its window: their requests are added to its first row."
    small = [window for window in dataset.windows if window.pairs < SMALLEST_WINDOW]
    if small and len(small) < len(dataset.windows):
        names = ", ".join(f"{window.name} ({window.pairs})" for window in small[:SHOWN])
        more = f" and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
        yield (
            f"Of {len(dataset.windows)} windows these have fewer than {SMALLEST_WINDOW} pairs: "
            f"{names}{more}. A wrong timestamp may make such: mend it, or say by `data.windows` how to cut."
        )


def language_notices(dataset: DataSet, settings: ModelSettings, seed: int) -> Iterator[str]:
    """Languages of the seed and the first window that the base has no words for.

    Nothing where its tokenizer cannot be loaded: the model's own loading says what is wrong.
    """
    try:
        tokenizer = tokenizer_of(settings)
    except ModelError:
        return
    first = [dataset.window(0, _TEXTS)] if dataset.windows else []
    rows = pd.concat([dataset.seed(_TEXTS), *first])
    for language, texts in by_language(rows, SAMPLE, seed).items():
        unknown = measure(texts, settings, tokenizer).unknown
        if unknown > UNKNOWN:
            yield (
                f"{settings.base} has no word for {unknown:.0%} of the tokens of "
                f"{f'language {language}' if language else 'the texts'}: name one that has with `model.base`."
            )


def model_notices(network: Any, settings: Settings) -> Iterator[tuple[str, str]]:
    """A base that training cannot move, and one that says the same in every pass: each with its remedy."""
    base, frozen, stack = settings.model.base, settings.training.freeze_layers, layer_stack(network)
    if stack is not None and len(stack) <= frozen:
        yield (
            f"`training.freeze_layers: {frozen}` freezes all of {base}, which has {len(stack)} "
            f"layer{'s' * (len(stack) != 1)} to freeze: training moves the head alone.",
            "Set it to less than that.",
        )
    idle = [name for name in UNDER_DROPOUT if settings.miner.agents.get(name)]
    if idle and not has_dropout(network):
        yield (
            f"{base} has no dropout: its passes are all alike, and the miner's {' and '.join(idle)} "
            f"{'agents find' if len(idle) > 1 else 'agent finds'} nothing by them.",
            "Leave that out of `miner.agents`; `committee` asks several models instead.",
        )


def _by_number(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    more = f"; {len(ordered) - SHOWN} more reasons" if len(ordered) > SHOWN else ""
    return "; ".join(f"{number:,} x {reason}" for reason, number in ordered[:SHOWN]) + more
