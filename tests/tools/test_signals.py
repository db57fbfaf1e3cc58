"""BALD, the committee, density, novelty, strata, languages, skipped pairs: what each is for."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mining_desks import make_desk, unit

from serm.tools.click_model import fit, score_groups
from serm.tools.density import density, novelty
from serm.tools.disagreement import committee_gap
from serm.tools.feedback import ClickLog, skipped_high
from serm.tools.language import identify, languages_of, with_languages
from serm.tools.mining_tools import mining_tools
from serm.tools.query_sample import query_means
from serm.tools.strata import frequencies, strata, strata_by_window
from serm.tools.uncertainty import bald, entropy

passes = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).dirichlet(np.full(4, 0.5), (5, 7)).astype(np.float32)
)


@given(passes)
def test_bald_lies_between_nothing_and_the_entropy_of_the_mean(drawn: np.ndarray) -> None:
    found = bald(drawn)
    assert (found >= 0).all()
    assert (found <= entropy(drawn.mean(axis=0)) + 1e-5).all()


def test_bald_tells_passes_that_contradict_each_other_from_passes_that_are_all_unsure() -> None:
    sure = np.eye(4, dtype=np.float32)[[[0, 1], [3, 1]]]  # pass x pair: 0 against 3, and 1 twice
    unsure = np.full((2, 1, 4), 0.25, dtype=np.float32)
    assert bald(np.concatenate([sure, unsure], axis=1)) == pytest.approx([math.log(2), 0, 0], abs=1e-6)


def test_bald_of_one_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two passes"):
        bald(np.ones((1, 3, 4), dtype=np.float32))


def test_a_scale_that_a_member_has_for_itself_is_no_disagreement() -> None:
    first = np.array([0.1, 0.5, 2.0, 2.9], dtype=np.float32)
    same_order = 0.2 + 0.1 * first
    assert committee_gap(np.stack([first, same_order])) == pytest.approx(np.zeros(4), abs=1e-6)
    swapped = same_order[[3, 1, 2, 0]]
    assert committee_gap(np.stack([first, same_order, swapped])) == pytest.approx([2.8, 0, 0, 2.8])


def test_an_outlier_is_novel_but_in_no_crowd_and_a_new_topic_is_both() -> None:
    rng = np.random.default_rng(0)
    old, new = unit(rng.normal(size=(1, 32))), unit(rng.normal(size=(1, 32)))
    outlier = unit(rng.normal(size=(1, 32)))

    def around(centre: np.ndarray, count: int) -> np.ndarray:
        return unit(centre + 0.05 * rng.normal(size=(count, 32)))

    window = np.concatenate([around(old, 20), around(new, 10), outlier])
    unseen, crowd = novelty(window, around(old, 50)), density(window, seed=0)
    assert unseen[:20].max() < 0.2
    assert unseen[20:].min() > 0.5
    assert crowd[-1] < 0.5 < crowd[20:30].min()
    assert int(np.argmax(unseen * crowd)) in range(20, 30)


def test_what_was_asked_before_is_not_new_however_much_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from serm.tools import density as module

    monkeypatch.setattr(module, "COMPARED", 20)
    before = unit(np.random.default_rng(1).normal(size=(500, 32)))
    assert novelty(before[::7], before).max() < 1e-5
    assert novelty(-before[:1], before).min() > 0.2


def test_density_weighs_a_doubt_in_a_crowd_over_the_same_doubt_alone() -> None:
    desk = make_desk(density=2.0)
    rows = np.arange(len(desk.window))
    weighed = desk.weighed(rows, np.ones(len(rows)))
    assert weighed == pytest.approx(desk.query_density[desk.query_index] ** 2)
    assert (make_desk().weighed(rows, np.ones(len(rows))) == 1).all()


def test_many_queries_are_compared_with_some_of_them_and_the_crowds_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from serm.tools import density as module

    vectors = unit(np.random.default_rng(1).normal(size=(600, 8)))
    whole = density(vectors, seed=0)
    monkeypatch.setattr(module, "COMPARED", 300)
    assert np.corrcoef(whole, density(vectors, seed=0))[0, 1] > 0.5


@given(st.lists(st.integers(1, 50), max_size=60))
def test_the_head_is_asked_more_than_the_torso_and_the_torso_more_than_the_tail(asked: list[int]) -> None:
    numbers = np.array(asked, dtype=float)
    names = strata(numbers)
    order = {"head": 0, "torso": 1, "tail": 2}
    ranks = np.array([order[name] for name in names])
    for value in np.unique(numbers):
        assert len(set(ranks[numbers == value].tolist())) == 1
    assert all(np.diff(ranks[np.argsort(-numbers, kind="stable")]) >= 0)


def test_frequency_is_the_impressions_of_a_query_and_a_query_asked_most_is_head() -> None:
    window = pd.DataFrame({"impressions": [90.0, 80.0, 5.0, np.nan, 4.0]})
    asked = frequencies(window, np.array([0, 0, 1, 2, 3]), 4)
    assert asked.tolist() == [90.0, 5.0, 1.0, 4.0]
    assert strata(asked).tolist() == ["head", "tail", "tail", "tail"]
    assert strata(np.ones(3)).tolist() == ["tail"] * 3


def test_a_query_has_the_stratum_of_its_own_window_and_none_where_impressions_are_not_logged() -> None:
    gate = pd.DataFrame(
        {
            "window": [-1, -1, 0, 0, 0, 2, 2],
            "impressions": [np.nan, np.nan, 9.0, 9.0, 1.0, 900.0, 90.0],
        }
    )
    traffic = {-1: None, 0: np.array([9.0, 2.0, 1.0]), 2: np.array([9_000.0, 900.0, 90.0])}.__getitem__
    found = strata_by_window(gate, np.array([0, 1, 2, 2, 3, 4, 5]), traffic)
    assert found.tolist() == ["", "", "head", "tail", "tail", "tail"], "of the gate alone 900 would be head"
    assert strata_by_window(gate.iloc[:0], np.array([], dtype=np.int64), traffic).tolist() == []


def test_a_frequency_has_the_stratum_that_it_would_have_among_others() -> None:
    among = np.array([6.0, 3.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0])  # 18 in all
    for value, name in zip(among, strata(among), strict=True):
        assert strata(np.array([value]), among).tolist() == [name]
    asked = np.array([100.0, 5.0, 2.5, 0.5])
    assert strata(asked, among).tolist() == ["head", "torso", "tail", "tail"]
    assert strata(asked, np.ones(3)).tolist() == ["tail"] * 4


def test_a_language_is_named_where_the_log_has_none_and_left_where_it_has_one() -> None:
    window = pd.DataFrame(
        {
            "query": ["zapatillas rojas", "rote laufschuhe", "red shoes", "什么是人工智能"],
            "title": [
                "Zapatillas de correr para el invierno, rojas",
                "Laufschuhe für den Winter, leicht und rot",
                "Running shoes for the winter, light and red",
                "",
            ],
            "text": ["", "", "", "人工智能是计算机科学的一个分支"],
            "language": ["", "de-AT", "", ""],
        }
    )
    assert with_languages(window)["language"].tolist() == ["es", "de-AT", "en", "zh"]
    named = window.assign(language="xx")
    assert with_languages(named) is named


def test_a_language_that_hardly_anybody_speaks_gives_way_to_those_of_the_log() -> None:
    assert identify("zapatillas rojas", among=frozenset({"es", "de"})) == "es"


def log_of(clicks: np.ndarray, shown: np.ndarray, position: np.ndarray, expected: np.ndarray) -> ClickLog:
    group = score_groups(expected)
    model = fit(position, group, shown, clicks)
    return ClickLog(np.arange(len(clicks)) + 100, position, group, shown, clicks, expected, model)


def test_only_pairs_skipped_more_often_than_their_place_explains_are_listed() -> None:
    rng = np.random.default_rng(0)
    n = 4_000
    position = rng.integers(1, 11, n)
    expected = rng.uniform(0, 3, n)
    shown = np.full(n, 30.0)
    clicks = rng.binomial(30, position**-1.0 * expected / 4).astype(float)
    top, bottom, low = 0, 1, 2
    position[[top, bottom, low]] = [1, 10, 1]
    expected[[top, bottom, low]] = [2.8, 2.8, 0.4]
    clicks[[top, bottom, low]] = 0.0
    shown[bottom] = 10.0
    rows, scores = skipped_high(log_of(clicks, shown, position, expected), high_score=2.0, probability=0.05)
    assert rows[0] == 100 + top  # rows are those of the window
    assert 100 + bottom not in rows
    assert 100 + low not in rows
    assert (np.diff(scores) <= 0).all()
    assert scores.min() >= -math.log(0.05)


def test_means_over_the_pairs_of_a_query() -> None:
    values = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0]], dtype=np.float32)
    assert query_means(values, np.array([0, 0, 2]), 3).tolist() == [[2.0, 1.0], [0.0, 0.0], [5.0, 5.0]]


def test_uncertainty_can_be_asked_of_one_stratum() -> None:
    view = make_desk(queries=40).view("x", 9)
    tools = {tool.name: tool for tool in mining_tools(view)}
    told = json.loads(tools["score_uncertainty"].invoke({"stratum": "head"}))
    desk = view.desk
    strata_found = desk.query_strata[desk.query_index[view.candidates[told["candidates"]].rows]]
    assert set(strata_found.tolist()) == {"head"}
    window = json.loads(tools["describe_window"].invoke({}))
    assert sum(window["queries_by_frequency"].values()) == 40


def test_without_another_model_the_committee_says_so() -> None:
    view = make_desk().view("x", 9)
    view.desk.__dict__["committee"] = None
    tools = {tool.name: tool for tool in mining_tools(view, ("score_committee",))}
    assert "no other model" in json.loads(tools["score_committee"].invoke({}))["why"]


def test_languages_that_the_log_names_count_against_a_rare_guess() -> None:
    texts: dict[str, list[str]] = {"zapatillas rojas": []}
    alone = languages_of(texts)["zapatillas rojas"]
    among = languages_of(texts, {"es": 5_000, "de-AT": 5_000, "klingon": 5_000})["zapatillas rojas"]
    assert alone not in ("es", "de")  # what this test is about: a guess that a log of its own cannot correct
    assert among == "es"
