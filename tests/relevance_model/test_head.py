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


@given(heads(), cosines, st.booleans())
def test_a_head_that_is_frozen_has_its_biases_around_0_and_says_what_it_said(
    head: OrdinalHead, values: list[float], weighed: bool
) -> None:
    trainable = TrainableHead(head, ["en", "fr"]).double()
    shares = np.arange(1.0, len(trainable.languages) + 1) if weighed else None
    frozen = trainable.frozen(shares)
    biases = [bias for _, bias in frozen.biases]
    assert np.average(biases, weights=shares) == pytest.approx(0, abs=1e-9)
    for language in trainable.languages:
        languages = [language] * len(values)
        before = trainable(
            torch.tensor(values, dtype=torch.float64), torch.from_numpy(trainable.positions(languages))
        )
        np.testing.assert_allclose(
            frozen.probabilities(np.array(values), languages),
            grade_log_probabilities(before).exp().detach().numpy(),
            atol=1e-5,
        )


def test_what_all_languages_have_in_common_holds_for_one_that_is_not_known() -> None:
    truth = OrdinalHead(15.0, (0.1, 0.25, 0.4))
    languages = ["en"] * 2_000
    values, targets = _drawn(truth, len(languages), languages)
    weights = np.full(len(values), 1 / len(values))
    found = fit_head(UNTRAINED, values, targets, languages, weights, queries=200)
    assert dict(found.biases)["en"] == pytest.approx(0, abs=1e-9)
    for unknown in (None, ["fr"] * len(values)):
        np.testing.assert_allclose(
            found.probabilities(values, unknown), found.probabilities(values, languages), atol=1e-6
        )


def test_a_language_weighs_as_much_as_its_rows_in_what_is_said_without_one() -> None:
    languages = ["de", "en", "en", "en"] * 500
    truth = OrdinalHead(15.0, (0.3, 0.5, 0.8), (("de", 1.0), ("en", 0.0)))
    values, targets = _drawn(truth, len(languages), languages)
    weights = np.full(len(values), 1 / len(values))
    biases = dict(fit_head(UNTRAINED, values, targets, languages, weights, queries=200).biases)
    assert 0.25 * biases["de"] + 0.75 * biases["en"] == pytest.approx(0, abs=1e-9)


def test_a_fit_from_a_head_with_biases_off_0_is_that_from_the_same_head_around_0() -> None:
    """A workspace's heads of before are such starts."""
    before = OrdinalHead(12.0, (0.3, 0.5, 0.8), (("de", 1.6), ("en", 1.4)))
    around = TrainableHead(before).double().frozen()
    languages = ["de", "en", "fr"] * 300
    values, targets = _drawn(OrdinalHead(12.0, (0.35, 0.5, 0.7)), len(languages), languages)
    weights = np.full(len(values), 1 / len(values))
    fits = [fit_head(start, values, targets, languages, weights, queries=90) for start in (before, around)]
    for language in ("de", "en"):
        first, second = (fit.probabilities(values, [language] * len(values)) for fit in fits)
        np.testing.assert_allclose(first, second, atol=0.02)


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
    targets = np.eye(4, dtype=np.float32)[grades]
    found = fit_temperature(logits * 3, targets, np.full(4_000, 1 / 4_000), queries=500)
    assert found == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("grades", [[3, 0, 1], [0, 3, 2]], ids=["all right", "all wrong"])
def test_a_temperature_of_three_pairs_stays_near_one(grades: list[int]) -> None:
    logits = np.array([[0, 0.2, 0.4, 1.5], [1.6, 0.2, 0, -0.5], [0.1, 1.2, 0.3, 0]], dtype=np.float32)
    targets, weights = np.eye(4, dtype=np.float32)[grades], np.full(3, 1 / 3)
    found = fit_temperature(logits, targets, weights, queries=1)
    assert 1 / 3 < found < 3
    further = fit_temperature(logits, targets, weights, queries=10_000)
    assert abs(np.log(further)) > 2 * abs(np.log(found)), "the pull weighs what one query weighs"


def test_a_pair_of_which_no_language_is_said_is_read_as_one_that_has_none() -> None:
    """What evaluates rows without a language and what serves them without one are the same."""
    head = OrdinalHead(biases=(("", -0.6), ("en", 0.6)))
    values = np.array([0.3, 0.6])
    assert (head.probabilities(values) == head.probabilities(values, ["", ""])).all()
    assert (head.probabilities(values) != head.probabilities(values, ["en", "en"])).any()
