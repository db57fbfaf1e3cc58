"""The tests of all queries, the corrections, and regions by words and languages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mining_desks import topics, unit
from pydantic import ValidationError
from scipy.stats import binom

from serm.core.settings_miner import DriftTestName, MinerSettings
from serm.tools.corrections import benjamini_hochberg, discrete, holm
from serm.tools.drift_regions import drifted_regions, fisher
from serm.tools.drift_report import detect, region_facts
from serm.tools.drift_tests import TESTS, classifier_auc, ks_shift
from serm.tools.query_groups import query_groups, words_of
from serm.tools.query_sample import Outputs, QuerySample

CENTRES = unit(np.random.default_rng(0).normal(size=(8, 12)))
EVEN = np.ones(8) / 8
MOST_ALARMS = int(binom.ppf(0.99, 200, 0.05))
"""Of 200 undrifted windows, 18: a true rate of .05 passes 99 times in 100, one of .10 fails 5 times in 8."""
WORDS = np.array(["red", "blue", "lamp", "chair", "shoe", "for", "home", "new", "small", "clock"])


def outputs(rng: np.random.Generator, n: int, weights: tuple[float, ...]) -> np.ndarray:
    return rng.dirichlet(weights, n).astype(np.float32)


def queries(rng: np.random.Generator, n: int, *, topic: np.ndarray = EVEN, word: str = "") -> QuerySample:
    """n queries of three words in two languages; `word` is in a tenth of them."""
    texts = [" ".join(rng.choice(WORDS, 3, replace=False)) for _ in range(n)]
    if word:
        texts[: n // 10] = [f"{text} {word}" for text in texts[: n // 10]]
    graded = outputs(rng, n, (2.0, 1.0, 1.0, 1.0))
    return QuerySample(
        topics(rng, n, CENTRES, topic), texts, rng.choice(["en", "de"], n).tolist(), lambda: Outputs(graded)
    )


@pytest.mark.parametrize("test", ["ks", "classifier", "outputs"])
def test_p_values_of_each_test_keep_the_level_where_nothing_drifted(test: str) -> None:
    rng = np.random.default_rng(1)
    p = np.array([TESTS[test](queries(rng, 40), queries(rng, 50), seed).p_value for seed in range(200)])  # type: ignore[index]
    assert (p <= 0.05).sum() <= MOST_ALARMS


@pytest.mark.slow
@pytest.mark.parametrize("tests", [MinerSettings().drift_tests, tuple(TESTS)], ids=["default", "all"])
def test_tests_and_regions_together_keep_the_level_on_two_hundred_undrifted_windows(
    tests: tuple[DriftTestName, ...],
) -> None:
    rng = np.random.default_rng(2)
    alarms = [
        detect(queries(rng, 50), queries(rng, 40), level=0.05, seed=seed, tests=tests).drifted
        for seed in range(200)
    ]
    assert sum(alarms) <= MOST_ALARMS


def test_the_tests_see_a_move_of_all_queries_and_the_outputs_see_other_grades() -> None:
    rng = np.random.default_rng(3)
    before = queries(rng, 200)
    tilted = np.r_[0.65, np.full(7, 0.05)]
    moved = queries(rng, 200, topic=tilted)
    for name in ("mmd", "ks", "classifier"):
        assert TESTS[name](before, moved, 0).p_value < 0.01, name  # type: ignore[index]
    worse = outputs(rng, 200, (6.0, 1.0, 1.0, 1.0))
    graded = QuerySample(before.embeddings, outputs=lambda: Outputs(worse))
    shift = TESTS["outputs"](before, graded, 0)
    assert shift.p_value < 0.01
    assert shift.effect == pytest.approx(6 / 9 - 2 / 5, abs=0.06)


def test_without_scores_or_with_too_few_queries_a_test_raises_no_alarm() -> None:
    few = QuerySample(CENTRES[:3])
    assert TESTS["outputs"](few, few, 0).p_value == 1.0
    assert TESTS["classifier"](few, few, 0).p_value == 1.0
    with pytest.raises(ValueError, match="two queries"):
        detect(QuerySample(CENTRES[:1]), few, level=0.05, seed=0)


def test_a_new_word_is_a_region_of_its_own_whatever_the_embedding_makes_of_it() -> None:
    rng = np.random.default_rng(4)
    before, now = queries(rng, 300), queries(rng, 300, word="zorblet")
    (region,) = drifted_regions(before, now, level=0.05, seed=0)
    assert (region.kind, region.basis, region.name) == ("new", "word", "zorblet")
    assert (region.reference, region.current, region.growth) == (0, 30, float("inf"))
    assert all("zorblet" in now.names[row] for row in region.members)
    facts = region_facts(region, before, now, np.full(300, 0.5, dtype=np.float32))
    assert facts.name == facts.examples[0]
    assert len(facts.examples) == 5
    assert sum(share for _, share in facts.languages) == pytest.approx(1.0)
    assert facts.uncertainty == pytest.approx(0.5)


def test_a_word_that_died_is_told_by_queries_of_before() -> None:
    rng = np.random.default_rng(5)
    before, now = queries(rng, 300, word="fax"), queries(rng, 300)
    (region,) = drifted_regions(before, now, level=0.05, seed=0)
    assert (region.kind, region.growth) == ("dying", 0.0)
    facts = region_facts(region, before, now)
    assert all("fax" in text for text in facts.examples)
    assert facts.uncertainty is None


def test_a_new_language_is_one_region_and_not_one_a_word() -> None:
    rng = np.random.default_rng(6)
    before, now = queries(rng, 200), queries(rng, 200)
    for row in range(80):
        now.names[row] = "linterna roja"  # type: ignore[index]
        now.languages[row] = "es"  # type: ignore[index]
    regions = [
        region for region in drifted_regions(before, now, level=0.05, seed=0) if region.kind != "dying"
    ]
    assert len(regions) == 1
    assert set(regions[0].members.tolist()) == set(range(80))


def test_scripts_without_spaces_are_read_by_pairs_of_characters() -> None:
    assert words_of("Red LAMP, 2-fach") == ["red", "lamp", "2", "fach"]
    assert words_of("红色台灯") == ["红色", "色台", "台灯"]
    assert words_of("น้ำปลา") == ["น้ำป", "ปล", "ลา"]  # with the signs upon them


def test_words_keep_the_marks_that_write_their_vowels() -> None:
    assert words_of("काला कुर्ता") == ["काला", "कुर्ता"]
    assert words_of("می‌خواهم") == ["می‌خواهم"]  # a joiner of no width within a word
    assert words_of("cafe\u0301 au lait") == ["cafe\u0301", "au", "lait"]
    assert words_of("red ❤️ lamp 👩‍💻 desk") == ["red", "lamp", "desk"]  # a mark alone is no word
    assert words_of("learn C++, C# and a+b") == ["learn", "c++", "c#", "and", "a", "b"]


def test_groups_are_made_without_texts_too_and_small_ones_are_left_out() -> None:
    vectors = np.repeat(CENTRES[:2], [20, 4], axis=0)
    groups = query_groups(vectors, [], [], seed=0)
    assert [(group.basis, len(group.rows)) for group in groups] == [("cluster", 20)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrected_p_values_are_no_smaller_and_holms_are_the_stricter(p_values: list[float]) -> None:
    p = np.array(p_values)
    assert (benjamini_hochberg(p) >= p - 1e-12).all()
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_holm_multiplies_the_smallest_by_all_and_keeps_the_order() -> None:
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])


def test_benjamini_and_hochberg_multiply_by_all_over_the_rank() -> None:
    assert benjamini_hochberg(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.04, 0.03, 0.04])


def test_tests_that_could_never_tell_cost_the_others_nothing() -> None:
    p, least = np.array([0.02, *[0.5] * 50]), np.array([1e-6, *[0.4] * 50])
    assert discrete(p, least, 0.05)[0] == pytest.approx(0.02)
    assert discrete(p, np.full(51, 1e-6), 0.05)[0] == pytest.approx(0.5)
    assert discrete(np.zeros(0), np.zeros(0), 0.05).shape == (0,)


@given(st.integers(0, 12), st.integers(0, 20))
def test_fishers_test_agrees_with_scipys_tails(before: int, now: int) -> None:
    from scipy.stats import fisher_exact

    m, n = 30, 40
    p, least = fisher(np.array([before]), np.array([now]), m, n)
    table = [[now, before], [n - now, m - before]]
    tails = [float(fisher_exact(table, alternative=side).pvalue) for side in ("greater", "less")]
    assert p[0] == pytest.approx(min(1.0, 2 * min(tails)))
    assert least[0] <= p[0] + 1e-12


def test_tests_told_beside_the_others_decide_nothing() -> None:
    rng = np.random.default_rng(3)
    before, moved = queries(rng, 120), queries(rng, 120, topic=np.r_[0.65, np.full(7, 0.05)])
    still = QuerySample(moved.embeddings, before.names, before.languages, before.outputs)
    alone = detect(before, still, level=0.05, seed=0, tests=("outputs",))
    beside = detect(before, still, level=0.05, seed=0, tests=("outputs",), beside=tuple(TESTS))
    assert [shift.test for shift in beside.beside] == ["mmd", "ks", "classifier"]
    assert min(shift.p_value for shift in beside.beside) < 0.01
    assert (beside.p_value, beside.shifts) == (alone.p_value, alone.shifts)


def test_a_strict_level_gets_the_permutations_that_an_alarm_takes() -> None:
    rng = np.random.default_rng(3)
    before, moved = queries(rng, 200), queries(rng, 200, topic=np.r_[0.65, np.full(7, 0.05)])
    (shift,) = detect(before, moved, level=0.002, seed=0).shifts
    assert shift.p_value <= 0.0005
    with pytest.raises(ValidationError):
        MinerSettings(drift_level=0.0001)


def test_grade_distributions_of_a_longer_window_are_thinned_like_its_queries() -> None:
    rare, often = np.array([[0.9, 0.1, 0, 0]] * 400), np.array([[0.1, 0.9, 0, 0]] * 40)
    law = np.r_[np.full(40, 0.8 / 40), np.full(400, 0.2 / 400)]
    drawn = [np.random.default_rng(n).multinomial(size, law) for n, size in enumerate((200, 2_000))]
    sides = [
        Outputs(np.concatenate([often, rare])[times > 0].astype(np.float32), times[times > 0].astype(float))
        for times in drawn
    ]
    few = QuerySample(CENTRES, outputs=lambda: sides[0])
    assert TESTS["outputs"](few, QuerySample(CENTRES, outputs=lambda: sides[1]), 0).p_value > 0.05
    raw = Outputs(sides[1].distributions)
    assert TESTS["outputs"](few, QuerySample(CENTRES, outputs=lambda: raw), 0).p_value < 0.001


@pytest.mark.parametrize("queries", [4, 5, 8, 40])
def test_the_ks_test_of_a_handful_of_queries_finds_no_drift_where_there_is_none(queries: int) -> None:
    """Of two samples of four the least p-value there can be is 2/70, of each of 384 columns."""
    rng = np.random.default_rng(queries)
    found = [
        TESTS["ks"](*map(QuerySample, rng.normal(size=(2, queries, 384)).astype(np.float32)), 0).p_value
        for _ in range(20)
    ]
    assert sum(p_value <= 0.05 for p_value in found) <= 3


@pytest.mark.parametrize("queries", [8, 10, 20])
def test_p_values_of_few_queries_keep_the_level_in_every_column(queries: int) -> None:
    """Asymptotic ones raise ten alarms of a hundred at eight queries a side, and say 0 now and then."""
    rng = np.random.default_rng(queries)
    columns = rng.normal(size=(2, queries, 500))
    p_values = np.array([ks_shift(*(side[:, [n]] for side in columns))[0] for n in range(500)])
    assert (p_values <= 0.05).mean() <= 0.07
    assert p_values.min() > 0


def test_grades_of_a_handful_of_pairs_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    for few in (2, 3, 5):
        sides = [Outputs(outputs(rng, n, (2.0, 1.0, 1.0, 1.0))) for n in (few, 40)]
        found = TESTS["outputs"](*(QuerySample(CENTRES, outputs=lambda side=side: side) for side in sides), 0)
        assert (found.p_value, found.effect) == (1.0, 0.0)
        assert found.measure.startswith("not tried")


def test_a_window_that_is_thinned_to_nothing_has_no_p_value_that_is_no_number() -> None:
    rng = np.random.default_rng(0)
    many = Outputs(outputs(rng, 1_000, (2.0, 1.0, 1.0, 1.0)), np.full(1_000, 50.0))
    few = Outputs(outputs(rng, 3, (2.0, 1.0, 1.0, 1.0)), np.ones(3))
    for seed in range(20):
        found = TESTS["outputs"](
            QuerySample(CENTRES, outputs=lambda: many), QuerySample(CENTRES, outputs=lambda: few), seed
        )
        assert found.p_value == 1.0


def test_where_queries_recur_the_classifier_ranks_none_that_it_has_learnt() -> None:
    """Its area is .5 where nothing drifted, however many of a window's queries earlier ones had."""
    areas = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        again, *fresh = (unit(rng.normal(size=(n, 12))) for n in (120, 80, 80, 80, 80))
        reference = np.concatenate([part for window in fresh[:3] for part in (again, window)])
        areas.append(classifier_auc(reference, np.concatenate([again, fresh[3]]), seed)[1])
    assert 0.47 < np.mean(areas) < 0.53
