import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mining_desks import make_desk

from serm.core.records import PairKey
from serm.core.settings_miner import DEFAULT_AGENTS
from serm.tools import selection
from serm.tools.desk import MiningDesk
from serm.tools.diversity import ORDERS, k_center
from serm.tools.quotas import nomination_quotas, shared_out
from serm.tools.selection import select


def nominate(desk: MiningDesk, agent: str, rows: list[int]) -> pd.DataFrame:
    keys = desk.window.loc[rows, ["query_id", "doc_id"]].reset_index(drop=True)
    return keys.assign(agent=agent, score=np.arange(len(rows), 0.0, -1.0), reason=f"by {agent}")


def random_nominations(desk: MiningDesk, rng: np.random.Generator, count: int) -> pd.DataFrame:
    free = rng.permutation(len(desk.window))
    return pd.concat(
        [nominate(desk, agent, rng.permutation(free)[:count].tolist()) for agent in DEFAULT_AGENTS],
        ignore_index=True,
    )


cases = {
    "seed": st.integers(0, 10_000),
    "queries": st.integers(1, 12),
    "per_query": st.integers(1, 8),
    "budget": st.integers(1, 60),
    "nominated": st.integers(0, 40),
    "share_labelled": st.floats(0, 1),
    "list_size": st.integers(1, 5),
    "cap": st.integers(1, 6),
}


@settings(max_examples=60, deadline=None)
@given(case=st.fixed_dictionaries(cases))
def test_a_sample_is_never_over_budget_never_labelled_and_never_holds_a_pair_twice(
    case: dict[str, Any],
) -> None:
    seed, cap, budget = case["seed"], case["cap"], case["budget"]
    rng = np.random.default_rng(seed)
    desk = make_desk(
        queries=case["queries"], per_query=case["per_query"], seed=seed, list_size=case["list_size"]
    )
    desk = dataclasses.replace(desk, settings=desk.settings.model_copy(update={"per_query": cap}))
    labelled = desk.window[rng.random(len(desk.window)) < case["share_labelled"]]
    desk = dataclasses.replace(
        desk,
        labelled=frozenset(PairKey(*row) for row in labelled[["query_id", "doc_id"]].itertuples(index=False)),
    )
    sample = select(random_nominations(desk, rng, case["nominated"]), desk, budget)
    keys = [PairKey(*row) for row in sample[["query_id", "doc_id"]].itertuples(index=False)]
    free = int(desk.unlabelled.sum())
    assert len(keys) == min(budget, free)  # no near duplicates here, so the budget is spent
    assert len(set(keys)) == len(keys)
    assert not set(keys) & desk.labelled
    over_cap = sample.groupby("query_id").size().max() > cap if len(sample) else False
    possible = pd.Series(desk.query_index[desk.unlabelled]).value_counts().clip(upper=cap).sum()
    assert not over_cap or possible < len(keys)  # the cap gives way only where the budget needs it


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), budget=st.integers(5, 50), list_size=st.integers(1, 4))
def test_every_agent_gets_its_share_where_it_nominated_enough(seed: int, budget: int, list_size: int) -> None:
    shares = dict(zip(DEFAULT_AGENTS, (3.0, 1.0, 2.0, 1.0), strict=True))
    desk = make_desk(queries=40, per_query=10, seed=seed, list_size=list_size, agents=shares)
    rows = np.random.default_rng(seed).permutation(400)
    parts = np.split(rows, len(DEFAULT_AGENTS))
    tables = [nominate(desk, name, part.tolist()) for name, part in zip(DEFAULT_AGENTS, parts, strict=True)]
    sample = select(pd.concat(tables, ignore_index=True), desk, budget)
    assert sample["agent"].value_counts().to_dict() == {
        name: quota for name, quota in shared_out(budget, shares).items() if quota
    }


def test_the_share_that_an_agent_cannot_use_goes_to_the_others() -> None:
    desk = make_desk(agents={"feedback": 1.0, "drift": 1.0}, list_size=1)
    tables = [nominate(desk, "feedback", [0]), nominate(desk, "drift", list(range(8, 200, 4)))]
    sample = select(pd.concat(tables), desk, 20)
    assert sample["agent"].value_counts().to_dict() == {"drift": 19, "feedback": 1}


def test_a_pair_that_two_agents_nominate_is_taken_once_and_keeps_both_reasons() -> None:
    desk = make_desk(list_size=1)
    sample = select(pd.concat([nominate(desk, "feedback", [5]), nominate(desk, "drift", [5])]), desk, 1)
    assert sample["agents"].tolist() == ["feedback,drift"]
    assert sample["reason"].tolist() == ["feedback: by feedback; drift: by drift"]


def test_a_nominated_query_brings_a_list_and_not_a_lone_pair() -> None:
    desk = make_desk(list_size=4, agents={"feedback": 1.0})
    sample = select(nominate(desk, "feedback", [3, 19]), desk, 8)
    assert sample["query_id"].value_counts().to_dict() == {"q0": 4, "q2": 4}
    company = sample[(sample["query_id"] == "q0") & (sample["agents"] == "")]
    others = [row for row in range(8) if row != 3]
    best = sorted(others, key=lambda row: -desk.scores.expected[row])[:3]
    assert set(company["doc_id"]) == {f"d{row}" for row in best}


def test_nearly_the_same_document_is_taken_once_for_a_query() -> None:
    desk = make_desk(queries=2, per_query=4)
    vectors = desk.document_embeddings.copy()
    vectors[1] = vectors[0]  # of the same query
    vectors[4] = vectors[0]  # of another
    desk = dataclasses.replace(desk, document_embeddings=vectors)
    sample = select(nominate(desk, "drift", [0, 1, 4]), desk, 8)
    assert "d1" not in set(sample["doc_id"])
    assert {"d0", "d4"} <= set(sample["doc_id"])
    assert len(sample) == 7


def test_without_nominations_the_budget_goes_to_uncertain_pairs_of_many_queries() -> None:
    desk = make_desk(queries=30, per_query=8, list_size=4)
    sample = select(pd.DataFrame(), desk, 40)
    assert set(sample["agent"]) == {"fill"}
    assert sample.groupby("query_id").size().tolist() == [4] * 10
    chosen = [row for key, row in desk.row_of.items() if key.doc_id in set(sample["doc_id"])]
    assert desk.entropy[chosen].mean() > desk.entropy.mean()


def test_the_same_nominations_give_the_same_sample_in_whatever_order_they_come() -> None:
    desk = make_desk()
    table = random_nominations(desk, np.random.default_rng(3), 50)
    first = select(table, desk, 30)
    shuffled = table.sample(frac=1.0, random_state=1).sort_values("agent", kind="stable")
    second = select(shuffled, desk, 30)
    assert first["doc_id"].tolist() == second["doc_id"].tolist()


def test_nominations_of_pairs_that_are_not_in_the_window_are_left_out() -> None:
    desk = make_desk()
    stranger = nominate(desk, "drift", [0]).assign(doc_id="elsewhere")
    assert "elsewhere" not in set(select(stranger, desk, 5)["doc_id"])


def test_random_choice_is_uniform_over_unlabelled_pairs_and_repeatable() -> None:
    labelled = frozenset({PairKey("q0", f"d{i}") for i in range(8)})
    desk = make_desk(choice="random", labelled=labelled)
    sample = select(pd.DataFrame(), desk, 60)
    assert len(sample) == 60
    assert set(sample["agent"]) == {"random"}
    assert "q0" not in set(sample["query_id"])
    assert sample["doc_id"].tolist() == select(pd.DataFrame(), desk, 60)["doc_id"].tolist()
    counts = np.zeros(len(desk.window))
    for seed in range(300):
        drawn = select(pd.DataFrame(), dataclasses.replace(desk, seed=seed), 60)
        counts[[int(name[1:]) for name in drawn["doc_id"]]] += 1
    expected = 300 * 60 / 232
    assert np.abs(counts[8:] - expected).max() < 5 * np.sqrt(expected)


@given(budget=st.integers(0, 10_000), shares=st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_quotas_sum_to_the_budget_and_none_is_a_whole_pair_off_its_share(
    budget: int, shares: list[float]
) -> None:
    named = {str(i): share for i, share in enumerate(shares)}
    quotas = shared_out(budget, named)
    assert sum(quotas.values()) == budget
    for name, share in named.items():
        assert abs(quotas[name] - budget * share / sum(shares)) < 1 + 1e-6


def test_agents_may_nominate_more_than_their_share_so_that_diversity_has_a_choice() -> None:
    assert nomination_quotas(600, {"drift": 1.0, "feedback": 1.0}) == {"drift": 900, "feedback": 900}


def test_k_center_visits_far_points_before_near_ones() -> None:
    points = np.array([[1, 0], [0.999, 0.04], [0, 1], [0.03, 0.999]], dtype=np.float32)
    assert set(k_center(points, 2).tolist()) == {0, 2}
    assert sorted(k_center(points, 9).tolist()) == [0, 1, 2, 3]


def test_a_window_that_is_all_labelled_gives_an_empty_sample() -> None:
    desk = make_desk(queries=2, per_query=2)
    desk = dataclasses.replace(desk, labelled=frozenset(desk.row_of))
    assert len(select(pd.DataFrame(), desk, 5)) == 0


@pytest.mark.parametrize("choice", ["mined", "random"])
def test_a_sample_has_the_windows_columns_and_says_who_chose_it_and_why(choice: str) -> None:
    desk = make_desk(choice=choice)
    sample = select(nominate(desk, "drift", [1, 2, 3]), desk, 6)
    assert sample.columns.tolist() == [*desk.window.columns, "agent", "agents", "score", "reason"]
    assert (sample["reason"] != "").all()


def test_only_so_many_queries_are_put_in_an_order_that_spreads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    order = ORDERS["k_center"]

    def watched(vectors: np.ndarray, limit: int) -> np.ndarray:
        asked.append(limit)
        return order(vectors, limit)

    monkeypatch.setattr(selection, "ORDERS", {"k_center": watched})
    monkeypatch.setattr(selection, "SPREAD", 5)
    desk = make_desk(queries=40, per_query=2)
    sample = select(nominate(desk, "uncertainty", list(range(60))), desk, 30)
    assert (set(asked), len(sample)) == ({5}, 30)
