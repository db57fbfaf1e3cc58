"""What a round will take, from the config, the texts of its window and what earlier rounds took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from serm.agents.calibration import choose_gold
from serm.core.columns import KEY
from serm.evals.power import SPREAD, last_spread, queries_for
from serm.evals.same_text import mixed_texts
from serm.graphs.forecast_judges import CountTokens, JudgeForecast, Wanted, cost_at_most, forecast_judges
from serm.graphs.gate_panel import panel_pairs
from serm.graphs.held_out import held_out
from serm.graphs.resources import Resources
from serm.storage.rounds import read_rounds


@dataclass(frozen=True, slots=True)
class GateForecast:
    """What a gate of one margin needs."""

    margin: float  # NDCG@4
    queries: int  # with more than one grade, in all
    missing: int  # of those, beyond the ones that are open in the round
    grades: int  # human grades that the missing ones come to


@dataclass(frozen=True, slots=True)
class Forecast:
    round: int
    window: str
    window_pairs: int
    pairs: int  # that are mined and sent to the panel
    gate_pairs: int  # that the panel grades beside them for the gate, at most (`gate.judged_share`)
    gold_pairs: int  # human-graded ones that it is weighed on, at most (`agreement.calibration`)
    judges: tuple[JudgeForecast, ...]
    priced: float  # what the judges with a price cost together, at most, by the tokens of their calls
    seconds: float | None  # that the last round took, all in all; None: there was none
    spread: float  # of the change in NDCG@4 over queries
    spread_measured: bool
    gate_queries: int
    gate: tuple[GateForecast, ...]

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Judges that no price is stated for."""
        return tuple(judge.judge for judge in self.judges if judge.cost is None)

    @property
    def cost(self) -> float | None:
        """Of all judges, at most; None where it is unknown of some."""
        return None if self.unpriced else self.priced


def forecast(resources: Resources, number: int, margins: Sequence[float], count: CountTokens) -> Forecast:
    """Forecast round `number`. `count` gives the tokens of texts. Nothing is asked of any judge."""
    settings = resources.settings
    window = resources.pairs(number)
    apart = held_out(resources, number).rows(window)
    pairs = min(settings.budget.pairs_of(len(window)), int((~apart).sum()))
    reports = [report for report in read_rounds(resources.workspace.rounds) if report["round"] > 0]
    wanted = Wanted(window, pairs, _gate_pairs(resources, number), _gold_pairs(resources, number))
    judges = forecast_judges(settings, wanted, resources.workspace.judgments_url, count)
    gate = resources.human_graded(number)
    mixed = mixed_texts(gate)
    spread = last_spread(reports)
    # A query counts once it has two grades; the others are graded, too, before anybody knows.
    lists = window.groupby("query_id").size()
    per_query = float(len(gate) / len(mixed) if len(mixed) else lists.mean())
    return Forecast(
        round=number,
        window=resources.window(number).name,
        window_pairs=len(window),
        pairs=pairs,
        gate_pairs=len(wanted.gate),
        gold_pairs=len(wanted.gold),
        judges=judges,
        priced=cost_at_most(judges, window, pairs),
        seconds=float(reports[-1]["seconds"]) if reports else None,
        spread=spread or SPREAD,
        spread_measured=spread is not None,
        gate_queries=len(mixed),
        gate=tuple(
            _gate(margin, spread or SPREAD, settings.gate.level, len(mixed), per_query) for margin in margins
        ),
    )


def _gate_pairs(resources: Resources, number: int) -> pd.DataFrame:
    """What the panel grades for the gate in a round: all that is open, less what it graded a round before.
    Pairs that were mined and judged are among them, hence at most."""
    if not resources.settings.gate.judged_share:
        return pd.DataFrame(columns=[*KEY, "source"])
    rounds = [number] if number == 1 else [number, number - 1]
    now, *before = (panel_pairs(resources, item)[[*KEY, "source"]] for item in rounds)
    if not before:
        return now
    known = pd.MultiIndex.from_frame(before[0][list(KEY)])
    return now[~pd.MultiIndex.from_frame(now[list(KEY)]).isin(known)]


def _gold_pairs(resources: Resources, number: int) -> pd.DataFrame:
    """The human-graded pairs that the panel is weighed on (`Bench.gold`), as if pairs of all sources were
    mined."""
    agreement, graded = resources.settings.agreement, resources.human_graded(number)
    if agreement.rule != "reliability":
        return graded.iloc[:0]

    def jury(source: str) -> tuple[bool, ...]:
        judges = resources.settings.judges
        return tuple(not judge.sources or source in judge.sources for judge in judges)

    wanted = {jury(source) for source in resources.pairs(number)["source"].unique()}
    rows = np.fromiter((jury(source) in wanted for source in graded["source"]), dtype=bool)
    return choose_gold(graded[rows], agreement.calibration, resources.settings.random_seed)


def _gate(margin: float, spread: float, level: float, have: int, per_query: float) -> GateForecast:
    needed = queries_for(margin, spread, level)
    missing = max(needed - have, 0)
    return GateForecast(margin, needed, missing, round(missing * per_query))
