from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serm.relevance_model.base import expected_grade
from serm.relevance_model.fitting import PRIOR, fit_head, fit_temperature
from serm.relevance_model.head import UNTRAINED, OrdinalHead, TrainableHead, grade_log_probabilities


@st.composite
def heads(draw: st.DrawFn) -> OrdinalHead:
    first = draw(st.floats(-1, 1))
    gaps = draw(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)))
    biases = draw(st.dictionaries(st.sampled_from(["de", "en", "zh"]), st.floats(-3, 3)))
    return OrdinalHead(
        draw(st.floats(0.2, 60)),
        (first, first + gaps[0], first + gaps[0] + gaps[1]),
        tuple(sorted(biases.items())),
    )


cosines = st.lists(st.floats(-1, 1), min_size=1, max_size=20)


@given(heads(), cosines)
def test_grade_probabilities_of_a_pair_sum_to_one(head: OrdinalHead, values: list[float]) -> None:
    probabilities = head.probabilities(np.array(values), ["en"] * len(values))
    assert probabilities.shape == (len(values), 4)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@given(heads(), cosines)
def test_the_expected_grade_never_falls_as_the_cosine_grows(head: OrdinalHead, values: list[float]) -> None:
    grades = expected_grade(head.probabilities(np.sort(values)))
    assert (np.diff(grades) >= -1e-5).all()


@given(heads(), cosines)
def test_the_head_in_training_says_what_the_frozen_head_says(head: OrdinalHead, values: list[float]) -> None:
    languages = ["zh", *["xx"] * (len(values) - 1)]
    trainable = TrainableHead(head).double()
    positions = torch.from_numpy(trainable.positions(languages))
    logits = trainable(torch.tensor(values, dtype=torch.float64), positions)
    np.testing.assert_allclose(
        grade_log_probabilities(logits).exp().detach().numpy(),
        head.probabilities(np.array(values), languages),
        atol=1e-4,
    )


@settings(deadline=None)
@given(heads(), st.integers(0, 2**16), st.sampled_from([1e-3, 1.0, 100.0]), st.integers(1, 4))
def test_thresholds_stay_ordered_and_the_scale_positive_after_any_step(
    head: OrdinalHead, seed: int, rate: float, steps: int
) -> None:
    trainable = TrainableHead(head, ["en"])
    optimizer = torch.optim.SGD(trainable.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in trainable.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
        after = trainable.frozen()
        assert after.scale > 0
        assert after.thresholds[0] < after.thresholds[1] < after.thresholds[2]


def test_log_probabilities_stay_finite_and_exact_where_a_probability_is_tiny() -> None:
    logits = torch.tensor([[80.0, 79.0, 78.0], [-78.0, -79.0, -80.0]], dtype=torch.float64)
    found = grade_log_probabilities(logits)
    assert torch.isfinite(found).all()
    assert found[0, 0] == pytest.approx(-80.0)
    assert found[1, 3] == pytest.approx(-80.0)


def test_a_head_whose_thresholds_are_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="ordered thresholds"):
        OrdinalHead(10.0, (0.5, 0.4, 0.6))


def test_a_head_comes_back_from_json_as_it_was() -> None:
    head = OrdinalHead(12.345678901234567, (0.1, 0.2, 1 / 3), (("de", -0.1), ("en", 1 / 7)))
    assert OrdinalHead.from_json(head.to_json()) == head


def _drawn(head: OrdinalHead, count: int, languages: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    values = rng.uniform(0, 1, count)
    probabilities = head.probabilities(values, languages)
    grades = (rng.uniform(size=(count, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    return values, np.eye(4, dtype=np.float32)[grades]


def test_fitting_finds_the_head_that_the_grades_were_drawn_from() -> None:
    languages = ["de", "en"] * 10_000
    truth = OrdinalHead(15.0, (0.3, 0.5, 0.8), (("de", 1.0), ("en", 0.0)))
    values, targets = _drawn(truth, len(languages), languages)
    found = fit_head(
        UNTRAINED, values, targets, languages, np.full(len(values), 1 / len(values)), queries=2_000
    )
    assert found.scale == pytest.approx(15.0, rel=0.05)
    # Thresholds and biases are told apart by their difference only; what counts is what they predict.
    np.testing.assert_allclose(
        found.probabilities(values, languages), truth.probabilities(values, languages), atol=0.02
    )


def test_a_fit_to_one_pair_stays_near_the_head_it_starts_from() -> None:
    one = np.array([0.5])
    found = fit_head(UNTRAINED, one, np.eye(4, dtype=np.float32)[[0]], ["en"], np.ones(1), queries=1)
    assert found != UNTRAINED
    assert np.abs(np.array(found.thresholds) - UNTRAINED.thresholds).max() < PRIOR["threshold"]


def test_fitting_twice_gives_the_same_numbers() -> None:
    languages = ["en"] * 500
    values, targets = _drawn(UNTRAINED, 500, languages)
    fits = [fit_head(UNTRAINED, values, targets, languages, np.full(500, 1 / 500), queries=50) for _ in "ab"]
    assert fits[0] == fits[1]


def test_the_temperature_of_overconfident_logits_is_above_one() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4_000, 4)).astype(np.float32)
    raised = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    grades = (rng.uniform(size=(4_000, 1)) > raised.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    found = fit_temperature(logits * 3, np.eye(4, dtype=np.float32)[grades], np.full(4_000, 1 / 4_000))
    assert found == pytest.approx(3.0, rel=0.1)
