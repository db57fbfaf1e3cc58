"""How much narrower judges' grades make the gate's interval, and whether it still holds what it says.

    python -m serm.benchmarks.judging.gate_width configs/verticals.yaml --source web --human 30

Two models, the untrained one and the one trained on the seed, on every query of a source that both people
and the judges have graded and that trained nothing. In each of many draws `--human` queries keep their human
grades and the others have the judges' alone; the mean change in NDCG@4 over all of them, by human grades, is
the truth. Queries are drawn without replacement from a finite set, which makes intervals a little too wide.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.agents.panel import open_panel, pairs_of
from serm.core.columns import KEY
from serm.core.settings import Settings
from serm.evals.gate import CUTOFF
from serm.evals.judged_gate import panel_grades, query_changes
from serm.evals.prediction_powered import prediction_powered
from serm.evals.tables import Cells, markdown, points
from serm.graphs.resources import Resources
from serm.graphs.training import train_seed_model
from serm.relevance_model.scoring import score_frame

DRAWS: Final = 2_000
LEVEL: Final = 0.90


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("config", type=Path)
    parser.add_argument("--source", default="")
    parser.add_argument("--human", type=int, nargs="*", default=[20, 30, 50], help="human-graded queries")
    chosen = parser.parse_args(arguments)
    by_judges = changes(Settings.from_yaml(chosen.config), chosen.source)
    rows = [row(name, *both, count) for name, both in by_judges.items() for count in chosen.human]
    headers = (
        "judge",
        "human-graded",
        "judged only",
        "correlation",
        "weight",
        "width, human alone",
        "width",
        f"holds the truth ({LEVEL:.0%})",
        f"lower bound holds ({LEVEL:.0%})",
        "that of human grades alone",
        "worth",
    )
    print(markdown(Cells(headers, tuple(rows), frozenset({"judge"}))), end="")


def changes(settings: Settings, source: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of each judge, and of the panel's commonest vote: changes in NDCG@4 by human grades and by its own, of
    the queries of which it has graded a pair; (n,) each, NaN where a query has one grade."""
    with Resources(settings) as resources:
        dataset = resources.dataset
        before = resources.models.untrained()
        after = train_seed_model(resources, before)
        frames = [dataset.test(test.name) for test in dataset.tests]
        frames += [
            dataset.window(item.index).merge(dataset.sealed(item.index), on=list(KEY))
            for item in dataset.windows
        ]
        pairs = pd.concat(frames, ignore_index=True).drop_duplicates(list(KEY))
        pairs = pairs[pairs["source"] == source].reset_index(drop=True) if source else pairs
        scores = [score_frame(resources.models.open(model), pairs).expected for model in (before, after)]
        with open_panel(settings) as panel:
            for name in panel.names:
                panel.judge(name, pairs_of(panel.wanted(name, pairs)), resources.judgments)
            said = panel.judgments(pairs, resources.judgments)
    graded = {
        name: panel_grades(pairs, [item for item in said if item.judge == name]) for name in panel.names
    }
    graded = {name: grades for name, grades in graded.items() if grades.notna().any()}
    graded["commonest vote"] = panel_grades(pairs, said)
    truth = _change(pairs, scores, pairs["grade"])
    found = {name: _change(pairs, scores, grades) for name, grades in graded.items()}
    return {
        name: (
            np.asarray(truth.reindex(change.index), dtype=np.float64),
            np.asarray(change, dtype=np.float64),
        )
        for name, change in found.items()
    }


def _change(
    pairs: pd.DataFrame, scores: Sequence[NDArray[np.float32]], grades: pd.Series[float]
) -> pd.Series[float]:
    """NDCG@4 of the second model less that of the first, by query, NaN where it has one grade; pairs without
    a grade are left out."""
    kept = grades.notna().to_numpy()
    frame = pairs[kept].assign(grade=grades[kept].astype(int)).reset_index(drop=True)
    table = query_changes(frame, scores[0][kept], scores[1][kept], CUTOFF)
    return table.set_index("query_id")["change"]


def row(name: str, human: NDArray[np.float64], judged: NDArray[np.float64], count: int) -> tuple[str, ...]:
    """Many draws of `count` human-graded queries: the figures of the table."""
    rng = np.random.default_rng(0)
    truth, held, below, below_alone = float(np.nanmean(human)), 0, 0, 0
    widths: list[float] = []
    alone: list[float] = []
    weights: list[float] = []
    correlations: list[float] = []
    for _ in range(DRAWS):
        order = rng.permutation(len(human))
        few, many = order[:count], order[count:]
        found = prediction_powered(human[few], judged[few], judged[many], LEVEL)
        held += found.interval.low <= truth <= found.interval.high
        bound = prediction_powered(human[few], judged[few], judged[many], LEVEL, one_sided=True)
        below += bound.interval.low <= truth
        below_alone += bound.human.low <= truth
        widths.append(found.interval.high - found.interval.low)
        alone.append(found.human.high - found.human.low)
        weights.append(found.weight)
        correlations.append(found.correlation)
    worth = float(np.mean(np.square(alone)) / np.mean(np.square(widths)))
    return (
        name,
        str(count),
        str(len(human) - count),
        f"{np.nanmean(correlations):.2f}",
        f"{np.mean(weights):.2f}",
        points(float(np.mean(alone))),
        points(float(np.mean(widths))),
        f"{held / DRAWS:.1%}",
        f"{below / DRAWS:.1%}",
        f"{below_alone / DRAWS:.1%}",
        f"x {worth:.2f}",
    )


if __name__ == "__main__":
    main()
