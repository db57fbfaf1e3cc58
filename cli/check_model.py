"""Doctor: does the model load, and does it have words and room for every language of the data?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from serm.cli.checks import Finding, Patient, Status
from serm.relevance_model.vocabulary import UNKNOWN, by_language, measure, tokenizer_of

TRUNCATED: Final = 0.20  # share of documents from which a language is warned of
SAMPLE: Final = 1_000  # pairs of a language that are looked at, drawn with the config's random seed
_TEXTS: Final = ("query", "title", "text", "language")


def check_model(patient: Patient) -> Iterator[Finding]:
    from serm.graphs.notices import model_notices
    from serm.relevance_model.loading import open_base

    settings = patient.settings.base_model
    model = open_base(settings, None)
    embedding = model.embed_queries(["serm"])
    yield Finding(
        "model",
        Status.PASS,
        f"{settings.base} loads as a {settings.kind} (embeddings of {embedding.shape[1]} numbers).",
    )
    for notice, remedy in model_notices(model.network, patient.settings):
        yield Finding("model", Status.WARN, notice, remedy)


def check_languages(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings.base_model
    tokenizer = tokenizer_of(settings)
    for language, rows in _sampled(patient).items():
        fit = measure(rows, settings, tokenizer)
        name = f"language {language}" if language else "language not named"
        problems = []
        if fit.unknown > UNKNOWN:
            problems.append(f"the model has no word for {fit.unknown:.0%} of its tokens")
        if fit.truncated > TRUNCATED:
            problems.append(
                f"{fit.truncated:.0%} of its documents are cut off at {settings.max_length} tokens"
            )
        if not problems:
            sentence = f"{name}: {fit.unknown:.1%} unknown tokens, {fit.truncated:.0%} of documents cut off."
            yield Finding("language", Status.PASS, sentence)
            continue
        fails = fit.unknown > UNKNOWN
        yield Finding(
            "language",
            Status.FAIL if fails else Status.WARN,
            f"{name}: {' and '.join(problems)}.",
            "Set `model.base` to a model that knows the language." if fails else "Raise `model.max_length`.",
        )


def _sampled(patient: Patient) -> dict[str, pd.DataFrame]:
    """At most `SAMPLE` rows of each language over all sets, the texts of one window in memory at a time: it
    is drawn which of a language's rows they are before they are read."""
    seed, sizes = patient.settings.random_seed, Counter[str]()
    for part in patient.parts:
        for language, rows in _by_name(part.read(("language",))):
            sizes[language] += len(rows)
    drawn = {
        language: pd.Series(np.arange(size)).sample(min(size, SAMPLE), random_state=seed).to_numpy()
        for language, size in sizes.items()
    }
    taken, before = [], Counter[str]()
    for part in patient.parts:
        for language, rows in _by_name(part.read(_TEXTS)):
            here = drawn[language] - before[language]
            taken.append(rows.iloc[here[(here >= 0) & (here < len(rows))]])
            before[language] += len(rows)
    return by_language(pd.concat(taken), SAMPLE, seed)


def _by_name(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each language; "" is that of rows that name none."""
    for language, group in rows.fillna({"language": ""}).groupby("language"):
        yield str(language), group
