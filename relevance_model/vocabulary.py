"""Has a tokenizer words for what it is given, and has the model room for it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.core.columns import document_text
from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.loading import base_location

UNKNOWN: Final = 0.05  # share of tokens without a word from which a model does not know a language; chosen


@dataclass(frozen=True, slots=True)
class Fit:
    """How a tokenizer copes with one language."""

    unknown: float  # share of tokens that it has no word for
    truncated: float  # share of documents that do not fit into max_length


def tokenizer_of(settings: ModelSettings) -> Any:
    """The base model's tokenizer. Raises ModelError where it cannot be loaded."""
    from transformers import AutoTokenizer

    location = base_location(settings.base)
    try:
        return AutoTokenizer.from_pretrained(location, local_files_only=Path(location).is_dir())
    except Exception as error:
        raise ModelError(
            f"the tokenizer of {location} cannot be loaded: {error}", "Check `model.base`."
        ) from error


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


def by_language(rows: pd.DataFrame, most: int, seed: int) -> dict[str, pd.DataFrame]:
    """At most so many rows of each language, drawn; "" is the language of rows that name none."""
    rows = rows.assign(language=rows["language"].fillna(""))
    return {
        str(language): group.sample(min(len(group), most), random_state=seed)
        for language, group in rows.groupby("language")
    }


def token_counts(settings: ModelSettings, texts: Sequence[str]) -> list[int]:
    """How many tokens the model's tokenizer makes of each text, however long."""
    return [len(ids) for ids in _ids(tokenizer_of(settings), list(texts))]


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    found = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return [list(ids) for ids in found]
