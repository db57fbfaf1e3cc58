"""Contracts: settings, records, errors. Nothing here imports a framework."""

from serm.core.errors import SermError
from serm.core.records import (
    GRADES,
    Answer,
    Decision,
    Failure,
    FailureKind,
    Interval,
    Judgment,
    Label,
    Nomination,
    Outcome,
    Pair,
    PairKey,
    Reject,
)
from serm.core.settings import Settings

__all__ = [
    "GRADES",
    "Answer",
    "Decision",
    "Failure",
    "FailureKind",
    "Interval",
    "Judgment",
    "Label",
    "Nomination",
    "Outcome",
    "Pair",
    "PairKey",
    "Reject",
    "SermError",
    "Settings",
]
