"""The miner's tools as a chat model sees them: typed arguments in, less than 2 KB of JSON out.

Each is a thin coat over a pure function. What it finds stays on the desk as a list of candidates with an id;
an agent passes ids on, never pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field

from serm.tools import click_model, feedback
from serm.tools.desk import Candidates, DeskView, Ints
from serm.tools.disagreement import disagreement
from serm.tools.drift import mmd_test
from serm.tools.drift_regions import drifted_regions
from serm.tools.result import result
from serm.tools.uncertainty import MEASURES

SCORE_BINS = 20  # groups of pairs that share their attractiveness when propensities are fitted; chosen
MAX_POSITION = 20  # deeper positions count as this one
EXAMPLES = 3
TOP = 1_000  # candidates where an agent does not say how many


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NoArguments(Arguments):
    pass


class UncertaintyArguments(Arguments):
    measure: Literal["entropy", "margin"] = Field("entropy", description="how uncertainty is measured")
    language: str | None = Field(None, description="only pairs in this language, as describe_window names it")
    top: int = Field(TOP, ge=1, description="how many candidates to keep, the most uncertain first")


class DisagreementArguments(Arguments):
    pool: int | None = Field(None, ge=1, description="pairs to judge repeatedly, the most uncertain first")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class DriftArguments(Arguments):
    level: float | None = Field(None, gt=0, lt=1, description="significance of the test and of each region")
    max_regions: int = Field(5, ge=1, le=8, description="regions to report, the most certain first")


class FeedbackArguments(Arguments):
    dwell_engaged: float | None = Field(None, gt=0, description="seconds from which a visit counts")
    low_score: float | None = Field(None, ge=0, le=3, description="model scores under this are low")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class ClickModelArguments(Arguments):
    click_probability: float | None = Field(None, gt=0, lt=1, description="attractiveness that counts")
    low_score: float | None = Field(None, ge=0, le=3, description="model scores under this are low")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class NominateArguments(Arguments):
    candidates: str = Field(description="id of a candidate list, such as c1")
    count: int = Field(ge=1, description="how many of it to nominate, the best first")
    reason: str = Field(min_length=1, max_length=300, description="why these pairs are worth a label")


class FinishArguments(Arguments):
    reason: str = Field(min_length=1, max_length=300, description="why you stop here")


def describe_window(view: DeskView) -> str:
    """Sizes, languages, feedback and the model's state of mind in this window, and your quota."""
    desk = view.desk
    expected = desk.scores.expected
    return result(
        {
            "agent": view.agent,
            "quota": view.quota,
            "left": view.left,
            "pairs": len(desk.window),
            "unlabelled": int(desk.unlabelled.sum()),
            "queries": int(desk.window["query_id"].nunique()),
            "reference_queries": len(desk.reference_queries),
            "languages": {str(k): int(v) for k, v in desk.window["language"].value_counts().head(8).items()},
            "logged": {
                name: int(np.isfinite(desk.numbers(name)).sum())
                for name in ("impressions", "clicks", "dwell_seconds", "position")
            },
            "score_quartiles": [round(float(q), 3) for q in np.quantile(expected, [0.25, 0.5, 0.75])]
            if len(expected)
            else [],
            "mean_entropy": round(float(desk.entropy.mean()), 3) if len(expected) else 0.0,
        }
    )


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
    if not len(rows):
        return _told(view, view.offer("disagreement", rows, np.zeros(0)))
    passes = desk.stochastic(rows)
    made = view.offer("disagreement", rows, disagreement(passes), top)
    return _told(view, made, passes=len(passes), pool=len(rows))


def detect_drift(view: DeskView, level: float | None, max_regions: int) -> str:
    """Test whether this window's queries differ from earlier ones, and list the pairs of each region that is
    new or growing. A dying region is reported without candidates."""
    desk = view.desk
    level = level or desk.settings.drift_level
    view.looked = True
    if min(len(desk.reference_queries), len(desk.query_embeddings)) < 2:
        return result({"drift": False, "why": "there are no earlier queries to compare with", "regions": []})
    test = mmd_test(desk.reference_queries, desk.query_embeddings, seed=desk.seed)
    told: dict[str, Any] = {
        "drift": test.p_value <= level,
        "p_value": round(test.p_value, 4),
        "effect_mmd": round(test.effect, 4),
        "z": round(test.z, 2),
        "level": level,
        "queries": {"reference": test.reference, "current": test.current},
    }
    regions = []
    if test.p_value <= level:
        found = drifted_regions(desk.reference_queries, desk.query_embeddings, level=level, seed=desk.seed)
        told["regions_found"] = len(found)
        for region in found[:max_regions]:
            entry: dict[str, Any] = {
                "kind": region.kind,
                "queries": {"reference": region.reference, "current": region.current},
                "growth": round(region.growth, 2) if np.isfinite(region.growth) else "none before",
                "p_value": float(f"{region.p_value:.2g}"),
                "examples": [desk.query_names[q][:60] for q in region.members[:EXAMPLES]],
            }
            if region.kind != "dying":
                rows = np.flatnonzero(np.isin(desk.query_index, region.members))
                made = view.offer(f"{region.kind} region, entropy", rows, desk.entropy[rows])
                entry |= {"candidates": made.id, "size": len(made.rows)}
            regions.append(entry)
    return result(told | {"regions": regions})


def find_engaged_low(view: DeskView, dwell_engaged: float | None, low_score: float | None, top: int) -> str:
    """List the pairs that users clicked and stayed with although the model scores them low."""
    desk, chosen = view.desk, view.desk.settings
    clicks = desk.numbers("clicks")
    if not np.isfinite(clicks).any():
        view.looked = True
        return result({"size": 0, "why": "the log has no clicks"})
    rows, scores = feedback.engaged_low(
        clicks,
        desk.numbers("dwell_seconds"),
        desk.scores.expected,
        dwell_engaged=dwell_engaged or chosen.dwell_engaged,
        low_score=chosen.low_score if low_score is None else low_score,
    )
    return _told(
        view, view.offer("engaged though scored low", rows, scores, top), clicked=int((clicks > 0).sum())
    )


def fit_click_model(
    view: DeskView, click_probability: float | None, low_score: float | None, top: int
) -> str:
    """Fit position bias to the log and list the pairs that attract clicks, once the position is allowed for,
    although the model scores them low."""
    desk, chosen = view.desk, view.desk.settings
    shown, clicks, position = (desk.numbers(name) for name in ("impressions", "clicks", "position"))
    rows = np.flatnonzero((shown > 0) & np.isfinite(clicks) & (position >= 1) & (clicks <= shown))
    if not len(rows):
        view.looked = True
        return result({"size": 0, "why": "the log has no impressions with clicks and positions"})
    expected = desk.scores.expected[rows]
    place = np.clip(np.rint(position[rows]), 1, MAX_POSITION).astype(np.int64)
    group = _bins(expected)
    model = click_model.fit(place, group, shown[rows], clicks[rows])
    value = click_model.attractiveness(model, place, group, shown[rows], clicks[rows])
    floor = click_probability or chosen.click_probability
    low = chosen.low_score if low_score is None else low_score
    keep = (value > floor) & (expected < low)
    made = view.offer("attractiveness", rows[keep], value[keep] * (low - expected[keep]), top)
    return _told(view, made, propensity=[round(float(p), 3) for p in model.propensity[:10]], fitted=len(rows))


def nominate(view: DeskView, candidates: str, count: int, reason: str) -> str:
    """Nominate the best of a candidate list for labelling. Your turn ends when your quota is used up."""
    taken = view.nominate(candidates, count, reason)
    return result({"nominated": taken, "left": view.left, "done": view.closed})


def finish(view: DeskView, reason: str) -> str:
    """End your turn. Nominate first, unless your tools found nothing."""
    view.finish(reason)
    return result({"nominated": len(view.nominations), "done": True})


def _bins(expected: np.ndarray[Any, Any]) -> Ints:
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, SCORE_BINS + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, expected), dtype=np.int64)


def _told(view: DeskView, made: Candidates, **more: object) -> str:
    desk = view.desk
    texts = desk.window["query"].to_numpy()
    return result(
        {
            "candidates": made.id,
            "size": len(made.rows),
            "queries": len(np.unique(desk.query_index[made.rows])),
            "best": round(float(made.scores[0]), 4) if len(made.rows) else None,
            "median": round(float(np.median(made.scores)), 4) if len(made.rows) else None,
            "least": round(float(made.scores[-1]), 4) if len(made.rows) else None,
            **more,
            "examples": [str(texts[row])[:60] for row in made.rows[:EXAMPLES]],
        }
    )


Tool = tuple[Callable[..., str], type[Arguments]]

TOOLS: Final[Mapping[str, Tool]] = {
    "describe_window": (describe_window, NoArguments),
    "find_engaged_low": (find_engaged_low, FeedbackArguments),
    "fit_click_model": (fit_click_model, ClickModelArguments),
    "score_uncertainty": (score_uncertainty, UncertaintyArguments),
    "score_disagreement": (score_disagreement, DisagreementArguments),
    "detect_drift": (detect_drift, DriftArguments),
    "nominate": (nominate, NominateArguments),
    "finish": (finish, FinishArguments),
}


def mining_tools(view: DeskView, names: tuple[str, ...] = tuple(TOOLS)) -> list[BaseTool]:
    """LangChain tools over one agent's desk, those called `names`."""
    return [_tool(view, name, *TOOLS[name]) for name in names]


def _tool(view: DeskView, name: str, function: Callable[..., str], arguments: type[Arguments]) -> BaseTool:
    def call(**given: Any) -> str:
        return function(view, **given)

    return StructuredTool.from_function(
        call, name=name, description=" ".join((function.__doc__ or name).split()), args_schema=arguments
    )
