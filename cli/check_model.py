"""Doctor: does the model load, and does it have words and room for every language of the data?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from serm.cli.checks import Finding, Patient, Status
from serm.core.columns import document_text
from serm.core.settings_loop import ModelSettings

UNKNOWN: Final = 0.05  # share of tokens from which a language fails
TRUNCATED: Final = 0.20  # share of documents from which a language is warned of
SAMPLE: Final = 1_000  # pairs of a language that are looked at, drawn with the config's random seed

TokenIds = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a tokenizer copes with one language."""

    unknown: float  # share of tokens that it has no word for
    truncated: float  # share of documents that do not fit into max_length


def check_model(patient: Patient) -> Iterator[Finding]:
    from serm.relevance_model.layers import layer_stack
    from serm.relevance_model.loading import open_base

    settings, frozen = patient.settings.base_model, patient.settings.training.freeze_layers
    model = open_base(settings, None)
    embedding = model.embed_queries(["serm"])
    yield Finding(
        "model",
        Status.PASS,
        f"{settings.base} loads as a {settings.kind} (embeddings of {embedding.shape[1]} numbers).",
    )
    stack = layer_stack(model.network)
    if stack is not None and len(stack) <= frozen:
        yield Finding(
            "model",
            Status.WARN,
            f"{settings.base} has {len(stack)} layers, and `training.freeze_layers: {frozen}` freezes all.",
            "Set `training.freeze_layers` to less than the model's layers.",
        )


def check_languages(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings.base_model
    tokenizer = _tokenizer(settings)
    for language, rows in _by_language(patient).items():
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


def measure(rows: pd.DataFrame, settings: ModelSettings, tokenizer: Any) -> Fit:
    """Unknown tokens of queries and documents, and documents that would be cut off.

    A cross-encoder reads the query and the document together, so both have to fit.
    """
    queries = [settings.query_prefix + text for text in rows["query"]]
    documents = [
        settings.document_prefix + text
        for text in document_text(rows["title"].fillna(""), rows["text"].fillna(""))
    ]
    query_ids = _ids(tokenizer, queries)
    document_ids = _ids(tokenizer, documents)
    total = sum(map(len, query_ids)) + sum(map(len, document_ids))
    unknown = sum(ids.count(tokenizer.unk_token_id) for ids in (*query_ids, *document_ids))
    together = settings.kind == "crossencoder"
    special = tokenizer.num_special_tokens_to_add(pair=together)
    lengths = [
        len(document) + special + (len(query) if together else 0)
        for query, document in zip(query_ids, document_ids, strict=True)
    ]
    cut = sum(length > settings.max_length for length in lengths)
    return Fit(unknown / max(total, 1), cut / max(len(lengths), 1))


def token_counts(settings: ModelSettings, texts: Sequence[str]) -> list[int]:
    """How many tokens the model's tokenizer makes of each text, however long."""
    return [len(ids) for ids in _ids(_tokenizer(settings), list(texts))]


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    found = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return [list(ids) for ids in found]


def _tokenizer(settings: ModelSettings) -> Any:
    from pathlib import Path

    from transformers import AutoTokenizer

    from serm.core.errors import ModelError
    from serm.relevance_model.loading import base_location

    location = base_location(settings.base)
    try:
        return AutoTokenizer.from_pretrained(location, local_files_only=Path(location).is_dir())
    except Exception as error:
        raise ModelError(
            f"the tokenizer of {location} cannot be loaded: {error}", "Check `model.base`."
        ) from error


def _by_language(patient: Patient) -> dict[str, pd.DataFrame]:
    rows = pd.concat([frame[["query", "title", "text", "language"]] for frame in patient.frames.values()])
    rows["language"] = rows["language"].fillna("")
    seed = patient.settings.random_seed
    return {
        str(language): group.sample(min(len(group), SAMPLE), random_state=seed)
        for language, group in rows.groupby("language")
    }
