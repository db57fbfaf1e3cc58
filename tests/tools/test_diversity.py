"""Orders that spread an agent's queries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mining_desks import make_desk, unit

from serm.tools.diversity import ORDERS, k_center, mmr
from serm.tools.selection import select


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(0, 40), limit=st.integers(0, 50))
@pytest.mark.parametrize("name", sorted(ORDERS))
def test_an_order_takes_each_once_and_begins_with_the_most_wanted(
    name: str, seed: int, n: int, limit: int
) -> None:
    vectors = unit(np.random.default_rng(seed).normal(size=(n, 6)))
    order = ORDERS[name](vectors, limit).tolist()
    assert len(order) == len(set(order)) == min(n, limit)
    assert order[:1] == [0] * min(n, limit, 1)


def test_mmr_weighs_what_is_wanted_where_k_center_goes_for_the_farthest() -> None:
    angles = np.radians([0.0, 50.0, 5.0, 90.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert k_center(vectors, 2).tolist() == [0, 3]
    assert mmr(vectors, 2).tolist() == [0, 1]
    assert mmr(vectors[[0, 2, 3]], 2).tolist() == [0, 2]  # nearly a copy is wanted no more


def test_the_setting_chooses_the_order() -> None:
    samples = {}
    for name in ORDERS:
        desk = make_desk(queries=60, per_query=4, list_size=1, diversity=name, agents={"drift": 1.0})
        keys = desk.window[["query_id", "doc_id"]].iloc[::3]
        table = keys.assign(agent="drift", score=np.linspace(1, 0, len(keys)), reason="new")
        samples[name] = select(pd.DataFrame(table), desk, 12)["doc_id"].tolist()
    assert samples["k_center"] != samples["mmr"]
