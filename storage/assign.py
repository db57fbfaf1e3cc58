"""Which set and which window a row belongs to: pure functions over the rows' keys.

A keys frame has a row a pair, with query_id (categorical), source, language, split ("" where there is none),
timestamp (datetime64 or NaT) and graded (bool).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.settings_data import Buckets, SetName, SetRule, When, WindowRule

SETS: Final[tuple[SetName, ...]] = get_args(SetName)  # seed, gate, stream, test
NONE: Final = -1
SEED, GATE, STREAM, TEST = range(4)

STRICTEST: Final = (TEST, GATE, SEED, STREAM)
"""Where rules put one query into several sets, the first of these that holds it keeps it: a query that
measures must never be one that teaches, and a seed query must never be mined."""

_SPLITS: Final = {
    "seed": SEED,
    "train": SEED,
    "gate": GATE,
    "dev": GATE,
    "val": GATE,
    "valid": GATE,
    "validation": GATE,
    "stream": STREAM,
    "test": TEST,
}

Mask = NDArray[np.bool_]
Codes = NDArray[np.int32]


def matches(when: When, keys: pd.DataFrame) -> Mask:
    """The rows that fulfil every part of a condition: (n,) bool."""
    mask = np.ones(len(keys), dtype=bool)
    for name in ("source", "language", "split"):
        wanted = getattr(when, name)
        if wanted is not None:
            mask &= keys[name].isin(list(wanted)).to_numpy(bool)
    if when.after is not None:
        mask &= (keys["timestamp"] >= _naive(when.after)).to_numpy(bool)
    if when.before is not None:
        mask &= (keys["timestamp"] < _naive(when.before)).to_numpy(bool)
    if when.graded is not None:
        mask &= keys["graded"].to_numpy(bool) == when.graded
    if when.buckets is not None:
        mask &= _in_buckets(when.buckets, keys)
    if when.first_queries is not None:
        mask &= _first_queries(when.first_queries, keys, mask)
    return mask


def assign_sets(keys: pd.DataFrame, rules: Sequence[SetRule]) -> Codes:
    """Set code of every row by the first rule that holds, by the defaults where there is no rule; -1: none.

    The same query may still stand in several sets: see `conflicts`.
    """
    if not rules:
        return _default_sets(keys)
    codes = np.full(len(keys), NONE, dtype=np.int32)
    for rule in rules:
        free = codes == NONE
        codes[free & matches(rule.when, keys)] = SETS.index(rule.set)
    return codes


def conflicts(keys: pd.DataFrame, sets: Codes) -> tuple[Mask, Codes]:
    """Rows whose query stands in a stricter set too, and for every row the set that keeps its query.

    Without the rows of the mask the sets are disjoint by query.
    """
    queries = keys["query_id"].cat.codes.to_numpy()
    owner = np.full(len(keys["query_id"].cat.categories), NONE, dtype=np.int32)
    for code in reversed(STRICTEST):
        owner[queries[sets == code]] = code
    kept = owner[queries] if len(queries) else np.zeros(0, dtype=np.int32)
    return (sets != NONE) & (sets != kept), kept


def assign_windows(keys: pd.DataFrame, rules: Sequence[WindowRule], among: Mask) -> Codes:
    """Index of the first window rule that holds for each row in `among`; -1: none."""
    windows = np.full(len(keys), NONE, dtype=np.int32)
    for index, rule in enumerate(rules):
        free = among & (windows == NONE)
        windows[free & matches(rule.when, keys)] = index
    return windows


def query_hashes(keys: pd.DataFrame) -> list[str]:
    """sha256 of each category of query_id, as 64 hex digits."""
    return [hashlib.sha256(str(name).encode()).hexdigest() for name in keys["query_id"].cat.categories]


def _in_buckets(buckets: Buckets, keys: pd.DataFrame) -> Mask:
    inside = np.array(
        [int(text[: buckets.digits], 16) % buckets.modulus in buckets.values for text in query_hashes(keys)],
        dtype=bool,
    )
    return _of_rows(inside, keys)


def _first_queries(count: int, keys: pd.DataFrame, mask: Mask) -> Mask:
    hashes = query_hashes(keys)
    present = np.unique(keys["query_id"].cat.codes.to_numpy()[mask])
    first = sorted(present, key=lambda code: hashes[code])[:count]
    inside = np.zeros(len(hashes), dtype=bool)
    inside[first] = True
    return _of_rows(inside, keys)


def _of_rows(of_queries: Mask, keys: pd.DataFrame) -> Mask:
    if not len(keys):
        return np.zeros(0, dtype=bool)
    return np.asarray(of_queries[keys["query_id"].cat.codes.to_numpy()])


def _default_sets(keys: pd.DataFrame) -> Codes:
    """By the column `split`; what it does not name is cut out of the stream by hash (docs/formats.md)."""
    splits = keys["split"].str.strip().str.lower()
    codes: Codes = splits.map(_SPLITS).fillna(NONE).to_numpy().astype(np.int32)
    if splits.nunique() <= 1:  # no column, or one that says the same of every row
        codes[:] = STREAM
    elif not (codes == STREAM).any():
        codes[codes == SEED] = STREAM
    for code, bucket in ((GATE, 0), (TEST, 1)):
        if not (codes == code).any():
            taken = _in_buckets(Buckets(modulus=5, values=(bucket,)), keys)
            codes[taken & (codes == STREAM)] = code
    return codes


def _naive(moment: datetime) -> pd.Timestamp:
    """Timestamps are kept in UTC without saying so; a moment that bears a zone is brought there."""
    return pd.Timestamp(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)
