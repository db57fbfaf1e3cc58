import numpy as np
import pytest
from mining_desks import topics, unit

from serm.tools.drift import mmd_test
from serm.tools.drift_regions import drifted_regions
from serm.tools.drift_report import detect
from serm.tools.query_sample import QuerySample

CENTRES = unit(np.random.default_rng(0).normal(size=(12, 48)))
OLD = np.r_[np.ones(11) / 11, 0.0]


def sample(rng: np.random.Generator, n: int, shares: np.ndarray) -> QuerySample:
    return QuerySample(topics(rng, n, CENTRES, shares))


def with_a_new_topic(share: float) -> np.ndarray:
    return np.r_[np.ones(11) * (1 - share) / 11, share]


def test_p_values_are_uniform_where_nothing_drifted() -> None:
    rng = np.random.default_rng(1)
    p = np.array(
        [
            mmd_test(topics(rng, 40, CENTRES, OLD), topics(rng, 50, CENTRES, OLD), seed=i).p_value
            for i in range(200)
        ]
    )
    # 200 windows: a share of .05 has a standard error of .015, a quartile one of .03.
    assert (p <= 0.05).mean() <= 0.05 + 3 * 0.0154
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.11)


def test_a_move_of_all_queries_is_seen() -> None:
    rng = np.random.default_rng(3)
    before = unit(rng.normal(size=(150, 24)))
    after = unit(rng.normal(size=(150, 24)) + 0.3)
    test = mmd_test(before, after, seed=0)
    assert test.p_value <= 0.01
    assert test.effect > 0
    assert test.z > 3


def test_a_new_topic_of_one_in_ten_queries_is_found_and_named_by_its_own_queries() -> None:
    found = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        before, after = sample(rng, 300, OLD), sample(rng, 300, with_a_new_topic(0.1))
        drift = detect(before, after, level=0.05, seed=seed)
        new = [region for region in drift.regions if region.kind == "new"]
        found += bool(new)
        for region in new:
            nearest = (after.embeddings[region.members] @ CENTRES.T).argmax(axis=1)
            assert (nearest == 11).mean() > 0.9
    assert found >= 9


@pytest.mark.parametrize("permutations", [19, 99])
def test_no_p_value_is_less_than_one_in_all_orders_that_were_tried(permutations: int) -> None:
    rng = np.random.default_rng(4)
    near, far = (unit(centre + 0.01 * rng.normal(size=(40, 8))) for centre in np.eye(8)[:2])
    found = mmd_test(near, far, permutations=permutations, seed=0)
    assert found.p_value == 1 / (1 + permutations)


def test_growth_is_in_shares_of_each_side() -> None:
    rng = np.random.default_rng(0)
    before, after = sample(rng, 300, with_a_new_topic(0.05)), sample(rng, 900, with_a_new_topic(0.3))
    regions = detect(before, after, level=0.05, seed=0).regions
    grown = [region for region in regions if region.reference]
    assert len(grown) > 1
    for region in grown:
        assert region.growth == pytest.approx((region.current / 900) / (region.reference / 300))
        assert region.kind == ("dying" if region.growth < 1 else "growing" if region.growth <= 10 else "new")
    assert any(region.current / region.reference > 10 and region.kind == "growing" for region in grown)


def test_a_topic_that_vanishes_is_dying() -> None:
    rng = np.random.default_rng(4)
    before, after = sample(rng, 400, with_a_new_topic(0.25)), sample(rng, 400, OLD)
    regions = drifted_regions(before, after, level=0.05, seed=0)
    dying = [region for region in regions if region.kind == "dying"]
    assert dying
    assert all(region.growth < 0.5 for region in dying)


def test_the_same_seed_gives_the_same_report() -> None:
    rng = np.random.default_rng(5)
    before, after = sample(rng, 80, OLD), sample(rng, 80, with_a_new_topic(0.3))
    first, second = (detect(before, after, level=0.05, seed=7) for _ in range(2))
    assert first.shifts == second.shifts
    assert [r.members.tolist() for r in first.regions] == [r.members.tolist() for r in second.regions]


def test_the_blocks_give_the_textbook_estimate() -> None:
    rng = np.random.default_rng(6)
    x, y = unit(rng.normal(size=(700, 6))), unit(rng.normal(size=(600, 6)) + 0.5)  # more than one block
    pooled = np.concatenate([x, y])
    distances = ((pooled[:, None] - pooled[None]) ** 2).sum(-1)
    test = mmd_test(x, y, seed=0, permutations=3)
    # The bandwidth is the median over 500 drawn rows, so the whole median is near and not equal.
    kernel = np.exp(-distances / np.median(distances[np.triu_indices(len(pooled), 1)]))
    np.fill_diagonal(kernel, 0)
    m, n = len(x), len(y)
    squared = (
        kernel[:m, :m].sum() / (m * (m - 1))
        + kernel[m:, m:].sum() / (n * (n - 1))
        - 2 * kernel[:m, m:].mean()
    )
    assert test.effect == pytest.approx(np.sqrt(squared), rel=0.02)


def test_a_test_with_one_query_on_a_side_is_refused() -> None:
    with pytest.raises(ValueError, match="two queries"):
        mmd_test(CENTRES[:1], CENTRES, seed=0)
