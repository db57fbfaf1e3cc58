"""Credit: the estimate is the derivative that it claims to be, and shares follow it within bounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mining_desks import unit

from serm.relevance_model.examples import examples
from serm.relevance_model.head import OrdinalHead
from serm.relevance_model.slopes import loss_slopes
from serm.tools.credit import CEILING, FLOOR, SURE, by_agent, credited, credits, factor, wanted_step
from serm.tools.yields import yields


def cosines_under(metric: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosines where lengths and angles are those of a metric."""
    crossed = np.einsum("nd,de,ne->n", left, metric, right)
    lengths = [np.sqrt(np.einsum("nd,de,ne->n", side, metric, side)) for side in (left, right)]
    return np.asarray(crossed / lengths[0] / lengths[1])


def vectors(seed: int, n: int = 8, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sides = (unit(rng.normal(size=(n, d))).astype(np.float64) for _ in range(2))
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return left, right


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_step_is_the_gradient_over_the_metric(seed: int) -> None:
    left, right = vectors(seed)
    rng = np.random.default_rng(seed + 1)
    slopes, way = rng.normal(size=8), rng.normal(size=(5, 5))
    way = (way + way.T) / 2
    step = wanted_step(left, right, slopes)
    assert np.allclose(step, step.T)
    ahead, back = (slopes @ cosines_under(np.eye(5) + e * way, left, right) for e in (1e-5, -1e-5))
    assert float((step * way).sum()) == pytest.approx((ahead - back) / 2e-5, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_credit_is_what_a_labels_own_step_does_to_the_gate(seed: int) -> None:
    left, right = vectors(seed)
    rng = np.random.default_rng(seed)
    slopes, step = rng.normal(size=8), rng.normal(size=(5, 5))
    step = step + step.T
    own = [wanted_step(left[[i]], right[[i]], slopes[[i]]) for i in range(8)]
    assert np.allclose(credits(left, right, slopes, step), [float((item * step).sum()) for item in own])


def test_labels_that_say_what_the_gate_says_have_credit_and_their_opposites_none() -> None:
    left, right = vectors(3)
    slopes = np.random.default_rng(3).normal(size=8)
    step = wanted_step(left, right, slopes)
    assert credits(left, right, slopes, step).sum() == pytest.approx(float((step**2).sum()))
    assert credits(left, right, -slopes, step).sum() < 0


def test_slopes_are_the_derivative_of_the_training_loss() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "query_id": np.repeat(["a", "b", "c"], 4),
            "query": "q",
            "text": "d",
            "language": np.tile(["en", "de"], 6),
            "grade": rng.integers(0, 4, 12),
        }
    )
    data, head = examples(frame, soft=False), OrdinalHead(biases=(("de", 0.3),))
    cosines = rng.uniform(0.2, 0.9, 12)
    both = loss_slopes(head, cosines, data, ordinal=1.0, order=0.7)
    parts = [loss_slopes(head, cosines, data, ordinal=a, order=b) for a, b in ((1.0, 0.0), (0.0, 0.7))]
    assert np.allclose(both, sum(parts))
    for row in range(12):
        value = [
            head.probabilities(moved(cosines, row, e), frame["language"].tolist()) for e in (1e-3, -1e-3)
        ]
        nll = [-np.log(item[np.arange(12), frame["grade"]].astype(float)).mean() for item in value]
        assert parts[0][row] == pytest.approx((nll[0] - nll[1]) / 2e-3, abs=2e-3)


def moved(values: np.ndarray, row: int, by: float) -> np.ndarray:
    values = values.copy()
    values[row] += by
    return values


def pairs(agents: dict[str, tuple[float, float]], queries: int = 30) -> pd.DataFrame:
    """Two pairs a query, credits around each agent's mean."""
    rng = np.random.default_rng(1)
    rows = [
        {"query_id": f"{agent}{q}", "agent": agent, "labelled": True, "credit": rng.normal(mean, spread)}
        for agent, (mean, spread) in agents.items()
        for q in range(queries)
        for _ in range(2)
    ]
    return pd.DataFrame(rows)


def test_an_agent_that_surely_helps_has_twice_its_share_and_one_that_surely_harms_half() -> None:
    told = by_agent(pairs({"drift": (1.0, 0.1), "feedback": (-1.0, 0.1), "bald": (0.0, 9.0)}))
    assert told["drift"]["factor"] == CEILING
    assert told["feedback"]["factor"] == FLOOR
    assert FLOOR < told["bald"]["factor"] < CEILING
    assert sum(abs(item["credit"]) for item in told.values()) == pytest.approx(1.0)
    shares = credited({"drift": 1.0, "feedback": 2.0, "novelty": 1.0}, told)
    assert shares == {"drift": 2.0, "feedback": 1.0, "novelty": 1.0}


def test_pairs_without_a_label_are_paid_for_and_count_as_nothing_gained() -> None:
    table = pairs({"drift": (1.0, 0.1), "feedback": (1.0, 0.1)})
    lost = (table["agent"] == "feedback") & (np.arange(len(table)) % 4 != 0)
    table.loc[lost, ["labelled", "credit"]] = [False, 0.0]
    told = by_agent(table)
    assert told["feedback"]["pairs"] == 60
    assert told["feedback"]["labels"] == 15
    assert told["feedback"]["factor"] < 1 < told["drift"]["factor"]


def test_how_far_an_agent_is_from_all_is_in_standard_errors_over_its_queries() -> None:
    """By hand: the linearised standard error of a ratio mean, clusters being queries."""
    credits = {
        "drift": {"a": [1.0, 2.0, 3.0], "b": [4.0], "c": [2.0, 6.0]},
        "bald": {"d": [0.0], "e": [-3.0]},
    }
    table = pd.DataFrame(
        [
            {"query_id": query, "agent": agent, "labelled": True, "credit": credit}
            for agent, queries in credits.items()
            for query, values in queries.items()
            for credit in values
        ]
    )
    mean, of_all = 18 / 6, 15 / 8
    sums = np.array([6 - 3 * mean, 4 - mean, 8 - 2 * mean])  # of what each query's credits are off the mean
    error = np.sqrt(3 / 2 * (sums**2).sum()) / 6
    assert by_agent(table)["drift"]["t"] == pytest.approx((mean - of_all) / error, abs=1e-3)


def test_an_agent_of_one_query_keeps_its_share() -> None:
    told = by_agent(pairs({"drift": (5.0, 0.1)}, queries=1))
    assert told["drift"]["factor"] == 1.0


@given(distance=st.floats(-1e6, 1e6))
def test_the_factor_grows_with_the_evidence_and_stays_within_its_bounds(distance: float) -> None:
    assert FLOOR <= factor(distance) <= CEILING
    assert factor(distance) <= factor(distance + 0.1)
    assert factor(0.0) == 1.0
    assert factor(SURE) == CEILING


def test_an_agent_whose_every_pair_was_dropped_has_less_of_the_next_round() -> None:
    table = pairs({"good": (1.0, 0.5), "barren": (0.0, 0.0)})
    table.loc[table["agent"] == "barren", ["credit", "labelled"]] = [0.0, False]
    told = by_agent(table)
    assert told["barren"]["labels"] == 0
    assert told["barren"]["t"] < -2
    assert told["barren"]["factor"] == 0.5
    nothing = pairs({"a": (0.0, 0.0), "b": (0.0, 0.0)})
    assert [item["factor"] for item in by_agent(nothing).values()] == [1.0, 1.0]


def test_news_of_pairs_that_no_model_scored_is_not_known_rather_than_none() -> None:
    table = pd.DataFrame(
        {
            "agent": ["relabel", "relabel", "drift", "drift", "drift"],
            "grade": [3, 0, 3, 1, None],
            "expected": [np.nan, np.nan, 0.5, 0.9, 2.0],
        }
    )
    told = yields(table)
    assert told["relabel"] == {"pairs": 2, "kept": 2, "news": None}
    assert told["drift"] == {"pairs": 3, "kept": 2, "news": 0.5}
