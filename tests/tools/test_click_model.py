import numpy as np
import pytest

from serm.tools.click_model import attractiveness, fit, score_groups

PROPENSITY = np.array([1.0, 0.72, 0.55, 0.43, 0.35, 0.3, 0.26, 0.22, 0.2, 0.18])


@pytest.mark.parametrize("seed", range(3))
def test_known_propensities_are_recovered_from_pairs_shown_at_several_positions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    attracts = rng.beta(1, 2, 3_000)
    pair = np.repeat(np.arange(len(attracts)), 4)
    position = rng.integers(1, 11, len(pair))
    shown = rng.integers(5, 60, len(pair))
    clicks = rng.binomial(shown, PROPENSITY[position - 1] * attracts[pair])
    model = fit(position, pair, shown.astype(float), clicks.astype(float))
    assert model.propensity == pytest.approx(PROPENSITY, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_known_propensities_are_recovered_from_a_log_that_ranks_by_relevance(seed: int) -> None:
    """Each pair at one position, the attractive ones higher up: what a real log looks like."""
    rng = np.random.default_rng(seed)
    attracts = rng.beta(1, 2, 6_000)
    score = 3 * attracts + rng.normal(0, 0.3, len(attracts))
    position = np.clip(np.rint(10 - 3 * score + rng.normal(0, 2.5, len(score))), 1, 10).astype(np.int64)
    shown = rng.integers(5, 60, len(score)).astype(float)
    clicks = rng.binomial(shown.astype(int), PROPENSITY[position - 1] * attracts).astype(float)
    group = score_groups(score)
    model = fit(position, group, shown, clicks)
    assert model.propensity == pytest.approx(PROPENSITY, abs=0.05)
    estimate = attractiveness(model, position, group, shown, clicks)
    naive = clicks / shown
    assert np.abs(estimate - attracts).mean() < 0.5 * np.abs(naive - attracts).mean()


def test_a_pair_that_was_hardly_shown_is_taken_for_one_of_its_group() -> None:
    model = fit(np.array([1, 1]), np.array([0, 0]), np.array([1_000.0, 1_000.0]), np.array([300.0, 300.0]))
    one = np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.array([1.0]), np.array([1.0])
    assert attractiveness(model, *one)[0] < 0.4


def test_more_clicks_than_impressions_are_refused() -> None:
    one = np.ones(1, dtype=np.int64)
    with pytest.raises(ValueError, match="within impressions"):
        fit(one, one, np.array([3.0]), np.array([4.0]))


def test_an_empty_log_is_refused() -> None:
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(ValueError, match="no impressions"):
        fit(none, none, none.astype(float), none.astype(float))


def test_groups_have_no_gaps_however_the_scores_are_tied() -> None:
    group = score_groups(np.array([0.0] * 90 + [1.0] * 5 + [2.0] * 5))
    assert set(group.tolist()) == set(range(group.max() + 1))


@pytest.mark.parametrize("rate", [0.3, 0.03, 0.003, 0.001])
def test_rare_clicks_tell_as_much_as_frequent_ones_where_there_are_impressions_enough(rate: float) -> None:
    """The clicks that are expected, without noise: EM from the plain click rates never left 1 here."""
    rng = np.random.default_rng(0)
    attracts = rng.beta(1, 2, 20) * rate * 3
    group, position = (side.ravel() for side in np.meshgrid(range(20), range(1, 11), indexing="ij"))
    shown = np.full(len(group), 50_000.0)
    model = fit(position, group, shown, shown * PROPENSITY[position - 1] * attracts[group])
    assert model.converged
    assert model.propensity == pytest.approx(PROPENSITY, abs=0.01)
    assert model.attractiveness == pytest.approx(attracts, rel=0.02, abs=1e-5)


def test_the_position_with_the_most_clicks_need_not_be_the_one_that_is_most_examined() -> None:
    """What stands on top is what nobody wants."""
    examined, attracts = np.array([1.0, 0.7, 0.5, 0.35, 0.25]), np.array([0.05, 0.9])
    group, position = (side.ravel() for side in np.meshgrid(range(2), range(1, 6), indexing="ij"))
    unwanted = np.where(position <= 2, 0.95, 0.2)
    shown = 20_000.0 * np.where(group == 0, unwanted, 1 - unwanted)
    model = fit(position, group, shown, shown * examined[position - 1] * attracts[group])
    assert model.propensity == pytest.approx(examined, abs=0.01)


@pytest.mark.parametrize(("shown", "clicks"), [(1.0, 1.0), (3.0, 2.0)])
def test_a_position_that_was_hardly_shown_moves_no_other(shown: float, clicks: float) -> None:
    rng = np.random.default_rng(1)
    attracts = rng.uniform(0.05, 0.35, 5_000)
    position, group = rng.integers(1, 11, 5_000), score_groups(attracts)
    often = rng.integers(5, 60, 5_000).astype(float)
    clicked = rng.binomial(often.astype(int), PROPENSITY[position - 1] * attracts).astype(float)
    before = fit(position, group, often, clicked)
    after = fit(
        *(
            np.append(side, one)
            for side, one in ((position, 19), (group, 3), (often, shown), (clicked, clicks))
        )
    )
    assert after.propensity[:10] == pytest.approx(before.propensity, abs=0.01)
    assert after.propensity[10:] == pytest.approx(before.propensity[9], abs=0.02)


def test_a_log_without_a_click_has_no_position_that_is_better_than_another() -> None:
    position = np.arange(1, 4)
    model = fit(position, np.zeros(3, dtype=np.int64), np.full(3, 100.0), np.zeros(3))
    assert model.propensity == pytest.approx([1.0, 1.0, 1.0])
    assert model.attractiveness == pytest.approx([0.0], abs=1e-6)
