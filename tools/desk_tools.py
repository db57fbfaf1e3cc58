"""Tools of every miner agent: look at the window, nominate, finish."""

from __future__ import annotations

from typing import Any

import numpy as np

from serm.tools.desk import DeskView, MiningDesk
from serm.tools.result import result
from serm.tools.strata import STRATA


def describe_window(view: DeskView) -> str:
    """Sizes, languages, frequent and rare queries, feedback and the model's state of mind in this window, and
    your quota."""
    yours = {"agent": view.agent, "quota": view.quota, "left": view.left}
    return result({**yours, **window_facts(view.desk)})


def window_facts(desk: MiningDesk) -> dict[str, Any]:
    """What a window holds, and what its model makes of it."""
    expected = desk.scores.expected
    some = len(expected) > 0
    quartiles = np.quantile(expected, [0.25, 0.5, 0.75]).tolist() if some else []
    languages = desk.window["language"].value_counts().head(8)
    logged = ("impressions", "clicks", "dwell_seconds", "position")
    return {
        "pairs": len(desk.window),
        "unlabelled": int(desk.unlabelled.sum()),
        "kept_apart": 0 if desk.held_out is None else int(desk.held_out[desk.query_index].sum()),
        "queries": len(desk.query_embeddings),
        "reference_queries": len(desk.reference),
        "languages": {str(name)[:20]: int(count) for name, count in languages.items()},
        "queries_by_frequency": {name: int((desk.query_strata == name).sum()) for name in STRATA},
        "pairs_with": {name: int(np.isfinite(desk.numbers(name)).sum()) for name in logged},
        "score_quartiles": [round(q, 3) for q in quartiles],
        "mean_entropy": round(float(desk.entropy.mean()), 3) if some else None,
    }


def nominate(view: DeskView, candidates: str, count: int, reason: str) -> str:
    """Nominate the best of a candidate list for labelling. Your turn ends when your quota is used up."""
    taken = view.nominate(candidates, count, reason)
    return result({"nominated": taken, "left": view.left, "done": view.closed})


def finish(view: DeskView, reason: str) -> str:
    """End your turn. Nominate first, unless your tools found nothing."""
    view.finish(reason)
    return result({"nominated": len(view.nominations), "done": True, "reason": reason})
