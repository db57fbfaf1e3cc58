"""Pairs of queries that read like held-out ones are neither mined, nor asked again, nor forecast."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from small_world import distinct_pairs, world

from serm.core import Settings
from serm.core.hashing import query_bucket
from serm.graphs.forecast import forecast
from serm.graphs.held_out import held_out
from serm.graphs.mining import desk_key
from serm.graphs.resources import Resources

GATE = 0


def alike(pairs: pd.DataFrame, number: int) -> pd.DataFrame:
    """The first queries of the stream's first month in the words of a gate query."""
    ids = pairs["query_id"].unique()
    gate = next(name for name in ids if name.startswith("q3-") and query_bucket(name, 5) == GATE)
    stream = [name for name in ids if name.startswith("q1-") and query_bucket(name, 5) > 1][:number]
    text = pairs.loc[pairs["query_id"] == gate, "query"].iloc[0]
    same = pairs["query_id"].isin(stream)
    return pairs.assign(query=pairs["query"].where(~same, text.upper()))


def test_the_forecast_and_the_name_of_a_desk_know_of_them(tmp_path: Path, tiny_encoder: Path) -> None:
    found, keys = [], []
    for number in (0, 2):
        folder = tmp_path / str(number)
        config = world(folder, tiny_encoder, alike(distinct_pairs(), number), budget={"pairs_per_round": 500})
        with Resources(Settings.from_mapping(config, folder=folder, environment={})) as resources:
            window = resources.pairs(1)
            apart = held_out(resources, 1).rows(window)
            assert apart.sum() == 8 * number
            told = forecast(resources, 1, [0.01], lambda texts: [len(text) for text in texts])
            assert told.pairs == len(window) - apart.sum()
            found.append(held_out(resources, 1).key)
            state = {"round": 1, "champion": "a model", "earlier_labels": []}
            keys.append(desk_key(resources, state))
            resources._made.clear()
            frames = resources.held_out(1)
            resources.held_out = lambda _, frames=frames: {"gate": frames["gate"].iloc[:1]}
            assert desk_key(resources, state) != keys[-1], "other held-out queries, another choice"
    assert len(set(keys)) == 2
