"""Floors of languages and strata: met where they can be, never over budget, the same every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from mining_desks import make_desk

from serm.core.records import PairKey
from serm.core.settings_miner import DEFAULT_AGENTS, FloorSettings
from serm.tools.desk import MiningDesk
from serm.tools.floors import floors_of
from serm.tools.selection import select

RARE = ("en",) * 8 + ("de", "fi")


def desk_with(seed: int, **floors: float) -> MiningDesk:
    """30 queries x 6 pairs in languages of which two are rare, asked more and less often."""
    desk = make_desk(queries=30, per_query=6, seed=seed)
    rng = np.random.default_rng(seed)
    language = rng.choice(RARE, 30)[desk.query_index]
    shown = (1000 / (1 + rng.permutation(30)))[desk.query_index]
    labelled = desk.window[rng.random(180) < 0.3][["query_id", "doc_id"]]
    return dataclasses.replace(
        desk,
        window=desk.window.assign(language=language, impressions=shown),
        labelled=frozenset(PairKey(*row) for row in labelled.itertuples(index=False)),
        settings=desk.settings.model_copy(update={"floors": FloorSettings(**floors)}),
    )


def nominations(desk: MiningDesk, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    keys = desk.window[["query_id", "doc_id"]]
    tables = [
        keys.iloc[rng.permutation(180)[:40]].assign(agent=agent, score=rng.random(40), reason="looks good")
        for agent in DEFAULT_AGENTS
    ]
    return pd.concat(tables, ignore_index=True)


def counts(desk: MiningDesk, rows: pd.Index) -> tuple[pd.Series, pd.Series]:
    strata = pd.Series(desk.query_strata[desk.query_index[rows]]).value_counts()
    return desk.window["language"].iloc[rows].value_counts(), strata


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    budget=st.integers(1, 120),
    language=st.floats(0, 0.2),
    stratum=st.floats(0, 0.13),
)
def test_every_group_has_its_floor_or_all_that_it_has(
    seed: int, budget: int, language: float, stratum: float
) -> None:
    desk = desk_with(seed, language=language, stratum=stratum)  # all floors together fit any budget
    sample = select(nominations(desk, seed), desk, budget)
    assert len(sample) == min(budget, int(desk.unlabelled.sum()))
    rows = [desk.row_of[PairKey(*key)] for key in zip(sample["query_id"], sample["doc_id"], strict=True)]
    free = pd.Index(np.flatnonzero(desk.unlabelled))
    for floor, had, there in zip(
        (language, stratum), counts(desk, pd.Index(rows)), counts(desk, free), strict=True
    ):
        for name, candidates in there.items():
            assert had.get(name, 0) >= min(int(round(floor * budget, 6)), candidates)
    again = select(nominations(desk, seed), desk, budget)
    pd.testing.assert_frame_equal(sample, again)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), budget=st.integers(1, 60), share=st.floats(0.3, 1.0))
def test_floors_that_ask_for_more_than_the_budget_are_lowered_and_it_is_spent(
    seed: int, budget: int, share: float
) -> None:
    desk = desk_with(seed, language=share, stratum=share)
    assert floors_of(desk, budget).outstanding <= budget
    assert len(select(nominations(desk, seed), desk, budget)) == min(budget, int(desk.unlabelled.sum()))


def test_without_floors_nothing_changes() -> None:
    desk = desk_with(1)
    assert floors_of(desk, 50).outstanding == 0


def test_a_floor_brings_a_language_in_that_nobody_nominated() -> None:
    desk = desk_with(4)
    language = np.where(desk.query_index == 29, "is", "en")
    desk = dataclasses.replace(desk, window=desk.window.assign(language=language))
    english = nominations(desk, 4)
    english = english[english["query_id"] != "q29"]
    assert "is" not in set(select(english, desk, 40)["language"])
    floors = desk.settings.model_copy(update={"floors": FloorSettings(language=0.05)})
    sample = select(english, dataclasses.replace(desk, settings=floors), 40)
    assert (sample["language"] == "is").sum() == 2
    assert len(sample) == 40


def test_a_floor_that_duplicates_alone_could_meet_gives_its_place_to_others() -> None:
    desk = desk_with(5, language=0.2)
    language = np.where(desk.query_index == 29, "is", "en")
    text = desk.window["text"].where(desk.query_index != 29, "one and the same")
    window = desk.window.assign(language=language, text=text)
    desk = dataclasses.replace(desk, window=window, labelled=frozenset())
    sample = select(nominations(desk, 5), desk, 40)
    assert (sample["language"] == "is").sum() == 1
    assert len(sample) == 40


def test_random_choice_knows_no_floors() -> None:
    desk = desk_with(6, language=0.3)
    desk = dataclasses.replace(desk, settings=desk.settings.model_copy(update={"choice": "random"}))
    without = desk.settings.model_copy(update={"floors": FloorSettings()})
    left = select(pd.DataFrame(), desk, 20)
    pd.testing.assert_frame_equal(
        left, select(pd.DataFrame(), dataclasses.replace(desk, settings=without), 20)
    )
