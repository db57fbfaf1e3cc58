"""Calibration: the panel grades some human-graded pairs, so that its reliability can be learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from serm.agents.inquiry import Said, votes_of
from serm.core.columns import KEY
from serm.core.errors import DataError
from serm.core.hashing import unit_interval
from serm.core.records import PairKey
from serm.tools.reliability import Reliability, learn

FALLBACK = "unanimous"
"""The rule of judges of whom nothing could be learned: the strictest."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of the judges of some sources, or why nothing was."""

    judges: tuple[str, ...]
    sources: tuple[str, ...]
    pairs: int  # human-graded pairs that one of them has graded
    model: Reliability | None
    why: str = ""  # nothing was learned, and the pairs of these sources go by the fallback rule

    @property
    def rule(self) -> str:
        return "reliability" if self.model else FALLBACK

    def to_json(self) -> dict[str, Any]:
        model = json.loads(self.model.to_json()) if self.model else None
        return {
            "judges": list(self.judges),
            "sources": list(self.sources),
            "pairs": self.pairs,
            "rule": self.rule,
            "why": self.why,
            "model": model,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Learned:
        model = Reliability.from_json(json.dumps(value["model"])) if value["model"] else None
        return cls(tuple(value["judges"]), tuple(value["sources"]), value["pairs"], model, value["why"])


def choose_gold(graded: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """At most `limit` rows of a graded pairs frame, spread evenly over sources, and in them over queries.

    Chosen by hash, so that a pair is chosen again as long as there is room: a later round, in which more
    queries have grades, asks the panel for pairs of the new queries alone.
    """
    ranked = graded.assign(
        _source=graded.get("source", ""),
        _pair=[unit_interval("calibration", seed, *key) for key in graded[[*KEY]].to_numpy(object)],
        _query=[unit_interval("calibration", seed, query) for query in graded["query_id"]],
    ).sort_values(["_pair", *KEY])
    ranked["_turn"] = ranked.groupby("query_id").cumcount()  # each query's first, then each one's second, ...
    ranked = ranked.sort_values(["_turn", "_query", *KEY])
    shares = _shares({str(name): len(rows) for name, rows in ranked.groupby("_source")}, limit)
    chosen = [rows.head(shares[str(name)]) for name, rows in ranked.groupby("_source")]
    found = pd.concat(chosen) if chosen else ranked
    return found.drop(columns=["_source", "_pair", "_query", "_turn"]).reset_index(drop=True)


def learn_jury(
    judges: tuple[str, ...],
    sources: tuple[str, ...],
    said: Said,
    grades: Mapping[PairKey, int],
    *,
    keep: float,
    seed: int,
) -> Learned:
    """What the judges of some sources are worth, from what they said of human-graded pairs of those sources.

    Where the pairs are too few or all of one grade nothing is learned, and `why` says so.
    """
    votes = {key: votes_of(judgments) for key, judgments in said.items()}
    votes = {key: given for key, given in votes.items() if any(grade is not None for _, grade in given)}
    keys = sorted(votes)
    try:
        model = learn([votes[key] for key in keys], [grades[key] for key in keys], keep=keep, seed=seed)
    except DataError as error:
        return Learned(judges, sources, len(keys), None, str(error))
    return Learned(judges, sources, len(keys), model)


def _shares(supply: Mapping[str, int], limit: int) -> dict[str, int]:
    """`limit` dealt out evenly; what one cannot fill the others get. No share grows where another's supply
    does, which is why what is left over at the end goes by name."""
    level = 0
    while level < max(supply.values(), default=0) and _filled(supply, level + 1) <= limit:
        level += 1
    left = limit - _filled(supply, level)
    shares = {name: min(count, level) for name, count in supply.items()}
    for name in sorted(name for name, count in supply.items() if count > level)[:left]:
        shares[name] += 1
    return shares


def _filled(supply: Mapping[str, int], level: int) -> int:
    return sum(min(count, level) for count in supply.values())
