"""Which human-graded pairs the panel is weighed on, and what is learned from them."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from test_peer_vote import said

from serm.agents.calibration import Learned, choose_gold, learn_jury
from serm.core import Judgment, PairKey


def graded(queries: dict[str, int], source: str = "web", documents: int = 8) -> pd.DataFrame:
    """So many documents of each query."""
    rows = [
        {"query_id": query, "doc_id": f"{query}-{number}", "source": source, "grade": number % 4}
        for query, count in queries.items()
        for number in range(count or documents)
    ]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "source", "grade"])


def keys(frame: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(frame["query_id"], frame["doc_id"], strict=True))


def test_gold_is_spread_over_queries_and_over_sources() -> None:
    web, shop = graded({f"w{n}": 50 for n in range(20)}), graded({f"s{n}": 5 for n in range(4)}, "shop")
    chosen = choose_gold(pd.concat([web, shop]), 100, seed=1)
    assert chosen["source"].value_counts().to_dict() == {"web": 80, "shop": 20}
    assert set(chosen[chosen["source"] == "web"].groupby("query_id").size()) == {4}
    assert not chosen.duplicated(["query_id", "doc_id"]).any()
    assert list(chosen.columns) == list(web.columns)


def test_gold_is_all_there_is_where_there_is_little_of_it_and_nothing_where_there_is_none() -> None:
    few = graded({"q": 3})
    assert keys(choose_gold(few, 300, seed=1)) == keys(few)
    assert choose_gold(few, 0, seed=1).empty
    assert choose_gold(few.iloc[:0], 300, seed=1).empty


@given(
    earlier=st.integers(1, 12),
    later=st.integers(0, 12),
    limit=st.integers(1, 80),
    seed=st.integers(0, 50),
    shop=st.integers(0, 6),
)
@settings(max_examples=40, deadline=None)
def test_a_later_round_asks_for_nothing_more_of_the_queries_that_there_were(
    earlier: int, later: int, limit: int, seed: int, shop: int
) -> None:
    before = pd.concat([graded({f"w{n}": 6 for n in range(earlier)}), graded({"s": shop or 1}, "shop")])
    new = pd.concat([graded({f"x{n}": 6 for n in range(later)}), graded({"t": 9}, "shop")])
    first = choose_gold(before, limit, seed)
    second = choose_gold(pd.concat([before, new]), limit, seed)
    assert keys(second) - keys(first) <= keys(new)
    assert len(second) == min(limit, len(before) + len(new))


def panel_of(judges: tuple[str, ...], pairs: int) -> tuple[dict[PairKey, list[Judgment]], dict[PairKey, int]]:
    """Judges of which the first is always right and the others say 1."""
    grades = {PairKey("q", f"d{number}"): number % 4 for number in range(pairs)}
    votes = {
        key: [said(name, grade if name == judges[0] else 1, key.doc_id) for name in judges]
        for key, grade in grades.items()
    }
    return votes, grades


def test_what_is_learned_of_a_jury_goes_through_a_file_unchanged() -> None:
    votes, grades = panel_of(("good", "bad"), 200)
    found = learn_jury(("good", "bad"), ("web",), votes, grades, keep=1.0, seed=0)
    assert (found.rule, found.pairs, found.why) == ("reliability", 200, "")
    assert found.model is not None
    assert [found.model.decide([("good", grade), ("bad", 1)])[0] for grade in range(4)] == [0, 1, 2, 3]
    assert Learned.from_json(found.to_json()) == found


def test_of_too_few_pairs_nothing_is_learned_and_the_strictest_rule_takes_over() -> None:
    votes, grades = panel_of(("good", "bad"), 10)
    found = learn_jury(("good", "bad"), ("web",), votes, grades, keep=0.75, seed=0)
    assert (found.rule, found.model, found.pairs) == ("unanimous", None, 10)
    assert "10 human-graded pairs" in found.why
    assert Learned.from_json(found.to_json()) == found
