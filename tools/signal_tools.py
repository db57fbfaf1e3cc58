"""One tool a signal: it asks a pure function, keeps the finds as candidates, and tells sizes and scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from serm.tools.click_model import attractiveness, fit, score_groups
from serm.tools.desk import Candidates, DeskView
from serm.tools.disagreement import disagreement
from serm.tools.drift_regions import Region, detect
from serm.tools.feedback import engaged_low
from serm.tools.result import result
from serm.tools.uncertainty import MEASURES

MAX_POSITION = 20  # deeper positions count as this one; chosen
EXAMPLES = 3
EXAMPLE_LENGTH = 60  # characters


def score_uncertainty(view: DeskView, measure: str, language: str | None, top: int) -> str:
    """List the pairs whose grade the model is least sure of."""
    desk = view.desk
    values = MEASURES[measure](desk.scores.probabilities)
    rows = np.arange(len(values), dtype=np.int64)
    if language is not None:
        rows = np.flatnonzero(desk.window["language"].to_numpy() == language)
    return _told(view, view.offer(measure, rows, values[rows], top))


def score_disagreement(view: DeskView, pool: int | None, top: int) -> str:
    """List the pairs on which repeated judgments of the model (under dropout) lie farthest apart."""
    desk = view.desk
    free = np.flatnonzero(desk.unlabelled)
    size = min(pool or desk.settings.pool, desk.settings.pool)  # passes cost as much as scoring anew
    rows = free[np.argsort(-desk.entropy[free], kind="stable")[:size]]
    values = disagreement(desk.stochastic(rows)) if len(rows) else np.zeros(0, dtype=np.float32)
    return _told(view, view.offer("disagreement", rows, values, top), pool=len(rows))


def detect_drift(view: DeskView, level: float | None, max_regions: int) -> str:
    """Test whether this window's queries differ from earlier ones, and list the pairs of each region of them
    that is new or growing. A region tells its queries before and now; a dying one has no candidates."""
    desk = view.desk
    level = level or desk.settings.drift_level
    if min(len(desk.reference_queries), len(desk.query_embeddings)) < 2:
        return _nothing(view, "there are no earlier queries to compare with", drift=False, regions=[])
    found = detect(desk.reference_queries, desk.query_embeddings, level=level, seed=desk.seed)
    told: dict[str, Any] = {
        "drift": found.p_value <= level,
        "p_value": float(f"{found.p_value:.2g}"),
        "level": level,
        "mmd": {
            "p_value": round(found.overall.p_value, 4),
            "effect": round(found.overall.effect, 4),
            "z": round(found.overall.z, 2),
        },
        "regions_found": len(found.regions),
    }
    if found.p_value > level:
        return _nothing(view, f"no drift: p = {found.p_value:.2g}", **told, regions=[])
    regions = [_region(view, region) for region in found.regions[:max_regions]]
    if not any(region.get("size") for region in regions):
        told["why"] = "the queries have drifted, but no region with unlabelled pairs is new or growing"
    view.looked = True
    return result({**told, "regions": regions})


def find_engaged_low(view: DeskView, dwell_engaged: float | None, low_score: float | None, top: int) -> str:
    """List the pairs that users clicked and stayed with although the model scores them low."""
    desk, chosen = view.desk, view.desk.settings
    clicks = desk.numbers("clicks")
    if not np.isfinite(clicks).any():
        return _nothing(view, "the log has no clicks")
    rows, scores = engaged_low(
        clicks,
        desk.numbers("dwell_seconds"),
        desk.scores.expected,
        dwell_engaged=dwell_engaged or chosen.dwell_engaged,
        low_score=low_score or chosen.low_score,
    )
    made = view.offer("engaged though scored low", rows, scores, top)
    return _told(view, made, pairs_clicked=int((clicks > 0).sum()))


def fit_click_model(
    view: DeskView, click_probability: float | None, low_score: float | None, top: int
) -> str:
    """Fit position bias to the log and list the pairs that attract clicks, once the position is allowed for,
    although the model scores them low."""
    desk, chosen = view.desk, view.desk.settings
    shown, clicks, position = (desk.numbers(name) for name in ("impressions", "clicks", "position"))
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((shown > 0) & (position >= 1) & (clicks >= 0) & (clicks <= shown))
    if not len(rows):
        return _nothing(view, "the log has no impressions with clicks and positions")
    expected = desk.scores.expected[rows].astype(np.float64)
    place = np.clip(np.rint(position[rows]), 1, MAX_POSITION).astype(np.int64)
    group = score_groups(expected)
    model = fit(place, group, shown[rows], clicks[rows])
    attracts = attractiveness(model, place, group, shown[rows], clicks[rows])
    low = low_score or chosen.low_score
    keep = (attracts > (click_probability or chosen.click_probability)) & (expected < low)
    made = view.offer("attractive though scored low", rows[keep], (attracts * (low - expected))[keep], top)
    return _told(view, made, propensity=_rounded(model.propensity[:10]), pairs_fitted=len(rows))


def _region(view: DeskView, region: Region) -> dict[str, Any]:
    desk = view.desk
    told: dict[str, Any] = {
        "kind": region.kind,
        "queries": [region.reference, region.current],  # before, now
        "growth": round(region.growth, 2) if np.isfinite(region.growth) else "none before",
        "p_value": float(f"{region.p_value:.2g}"),
    }
    if region.kind != "dying":
        rows = np.flatnonzero(np.isin(desk.query_index, region.members))
        made = view.offer(f"{region.kind} region, entropy", rows, desk.entropy[rows])
        told |= {"candidates": made.id, "size": len(made.rows)}
    names = desk.query_names
    return told | {"examples": [names[query][:EXAMPLE_LENGTH] for query in region.members[:EXAMPLES]]}


def _told(view: DeskView, made: Candidates, **more: object) -> str:
    desk = view.desk
    if not len(made.rows):
        return _nothing(view, "no unlabelled pair fits", candidates=made.id, **more)
    queries = desk.query_index[made.rows]
    best, median, least = _rounded(np.quantile(made.scores, [1.0, 0.5, 0.0]))
    return result(
        {
            "candidates": made.id,
            "size": len(made.rows),
            "queries": len(np.unique(queries)),
            "best": best,
            "median": median,
            "least": least,
            **more,
            "examples": [desk.query_names[query][:EXAMPLE_LENGTH] for query in queries[:EXAMPLES]],
        }
    )


def _nothing(view: DeskView, why: str, **more: object) -> str:
    view.looked = True
    return result({"size": 0, "why": why, **more})


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]
