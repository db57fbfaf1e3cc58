"""One tool a signal of what users did."""

from __future__ import annotations

import numpy as np

from serm.tools.click_model import attractiveness, fit, score_groups
from serm.tools.desk import DeskView
from serm.tools.feedback import ClickLog, engaged_low, skipped_high
from serm.tools.telling import rounded, tell, tell_nothing

MAX_POSITION = 20  # deeper positions count as this one; chosen


def find_engaged_low(view: DeskView, dwell_engaged: float | None, low_score: float | None, top: int) -> str:
    """List the pairs that users clicked and stayed with although the model scores them low."""
    desk, chosen = view.desk, view.desk.settings
    clicks = desk.numbers("clicks")
    if not np.isfinite(clicks).any():
        return tell_nothing(view, "the log has no clicks")
    rows, scores = engaged_low(
        clicks,
        desk.numbers("dwell_seconds"),
        desk.scores.expected,
        dwell_engaged=dwell_engaged or chosen.dwell_engaged,
        low_score=low_score or chosen.low_score,
    )
    made = view.offer("engaged though scored low", rows, scores, top)
    return tell(view, made, pairs_clicked=int((clicks > 0).sum()))


def fit_click_model(
    view: DeskView, click_probability: float | None, low_score: float | None, top: int
) -> str:
    """Fit position bias to the log and list the pairs that attract clicks, once the position is allowed for,
    although the model scores them low."""
    chosen, log = view.desk.settings, _fitted(view)
    if log is None:
        return tell_nothing(view, _NO_LOG)
    attracts = attractiveness(log.model, log.position, log.group, log.impressions, log.clicks)
    low = low_score or chosen.low_score
    keep = (attracts > (click_probability or chosen.click_probability)) & (log.expected < low)
    scores = (attracts * (low - log.expected))[keep]
    made = view.offer("attractive though scored low", log.rows[keep], scores, top)
    return tell(view, made, propensity=rounded(log.model.propensity[:10]), **_of_fit(log))


def find_skipped_high(view: DeskView, high_score: float | None, top: int) -> str:
    """Fit position bias to the log and list the pairs that users passed over again and again, once the
    position is allowed for, although the model scores them high."""
    chosen, log = view.desk.settings, _fitted(view)
    if log is None:
        return tell_nothing(view, _NO_LOG)
    rows, scores = skipped_high(
        log,
        high_score=chosen.high_score if high_score is None else high_score,
        probability=chosen.skip_probability,
    )
    made = view.offer("skipped though scored high", rows, scores, top)
    return tell(view, made, never_clicked=int((log.clicks == 0).sum()), **_of_fit(log))


_NO_LOG = "the log has no impressions with clicks and positions"


def _of_fit(log: ClickLog) -> dict[str, int | bool]:
    """What is to be known of a fit; that it converged goes without saying."""
    told: dict[str, int | bool] = {"pairs_fitted": len(log.rows)}
    return told if log.model.converged else told | {"converged": False}


def _fitted(view: DeskView) -> ClickLog | None:
    """Of all pairs that were shown at a known position. In a log that has clicks a blank is none, as it is
    for `feedback.engaged_low`; several clicks of one request are one."""
    desk = view.desk
    shown, clicks, position = (desk.numbers(name) for name in ("impressions", "clicks", "position"))
    with np.errstate(invalid="ignore"):
        if (position[shown > 0] < 1).any():  # the log counts from 0
            position = position + 1
        rows = np.flatnonzero((shown > 0) & (position >= 1))
    if not len(rows) or not np.isfinite(clicks[rows]).any():
        return None
    clicks = np.minimum(np.nan_to_num(clicks), np.nan_to_num(shown))
    expected = desk.scores.expected[rows].astype(np.float64)
    place = np.clip(np.rint(position[rows]), 1, MAX_POSITION).astype(np.int64)
    group = score_groups(expected)
    model = fit(place, group, shown[rows], clicks[rows])
    return ClickLog(rows, place, group, shown[rows], clicks[rows], expected, model)
