"""Credit and re-labelling through the whole loop, and a budget that is a share of each window."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_world import world

from serm.core import Settings
from serm.core.hashing import unit_interval
from serm.core.records import Answer, Pair
from serm.core.settings_miner import DEFAULT_AGENTS
from serm.graphs import EvolutionResult, evolve
from serm.llm.simulated import SimulatedJudge
from serm.tools.credit import CEILING, FLOOR, credited
from serm.tools.quotas import nomination_quotas

pytestmark = pytest.mark.slow  # rounds upon rounds, ten to twenty seconds each

MINER = {"passes": 2, "pool": 60}
AMPLE = {"pairs_per_round": 160}
"""More than a window has: what is left over can go to labelled pairs alone."""


def settings_in(folder: Path, encoder: Path, **sections: Any) -> Settings:
    return Settings.from_mapping(world(folder, encoder, **sections), folder=folder, environment={})


def samples(result: EvolutionResult) -> list[pd.DataFrame]:
    return [pd.read_parquet(result.workspace / report["sample"]) for report in result.rounds[1:]]


def mood(path: int, query_id: str, doc_id: str) -> int:
    """The grade of the whole panel along a path."""
    return int(4 * unit_interval("mood", path, query_id, doc_id))


def quarrels(query_id: str, doc_id: str) -> bool:
    """Whether the panel is of one mind about a pair the first time alone."""
    return unit_interval("quarrel", query_id, doc_id) < 0.5


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Simulated judges that say something else along another path; what they were asked, in order."""
    asked: list[tuple[str, str, int]] = []

    async def answer(self: SimulatedJudge, pair: Pair, path: int) -> Answer:
        asked.append((self.name, "/".join(pair.key), path))
        apart = ("ann", "bob", "cid").index(self.name) if path and quarrels(*pair.key) else 0
        return Answer(grade=(mood(path, *pair.key) + apart) % 4)

    monkeypatch.setattr(SimulatedJudge, "answer", answer)
    never = property(lambda _: False, lambda *_: None)
    monkeypatch.setattr(SimulatedJudge, "deterministic", never, raising=False)
    return asked


def test_a_pair_is_asked_anew_and_its_later_label_replaces_the_earlier_one(
    tmp_path: Path, tiny_encoder: Path, moody: list[tuple[str, str, int]]
) -> None:
    result = evolve(
        settings_in(
            tmp_path,
            tiny_encoder,
            miner={**MINER, "relabel": 0.25},
            budget=AMPLE,
            training={"earlier": 1000.0, "seed": 0.0, "epochs": 1, "freeze_layers": 0},
            evolution={"rounds": 2},
        )
    )
    first, second = samples(result)
    assert "again" not in first
    again = second[second["again"] > 0]
    assert len(again) == 40
    assert set(again["agent"]) == {"relabel"}
    keys = set(zip(again["query_id"], again["doc_id"], strict=True))
    assert keys <= set(zip(first["query_id"], first["doc_id"], strict=True))
    for key in keys:
        paths = [path for judge, name, path in moody if judge == "ann" and name == "/".join(key)]
        assert paths == [0, 1]  # a path of its own, and so a vote of its own
    trained = pd.read_parquet(result.workspace / result.rounds[2]["snapshot"])
    trained = trained.set_index(["query_id", "doc_id"])
    assert trained.index.is_unique
    assert (trained["origin"] == "earlier").any()
    kept = keys & set(trained.index)
    assert kept
    assert all(trained.loc[key, "origin"] == "new" for key in kept)
    assert all(trained.loc[key, "grade"] == mood(1, *key) for key in kept)
    assert any(mood(0, *key) != mood(1, *key) for key in kept)
    dropped = {key for key in keys if quarrels(*key)}
    assert dropped
    assert not dropped & set(trained.index)  # the panel took its label back
    assert result.rounds[2]["counts"]["mined_by"]["relabel"] == 40


def test_judges_that_would_say_the_same_are_not_asked_again(tmp_path: Path, tiny_encoder: Path) -> None:
    settings = settings_in(
        tmp_path, tiny_encoder, miner={**MINER, "relabel": 1.0}, budget=AMPLE, evolution={"rounds": 2}
    )
    for sample in samples(evolve(settings)):
        assert "again" not in sample


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> EvolutionResult:
    """Two rounds with credit, the second by a process that finds the first one done."""
    settings = settings_in(
        tmp_path_factory.mktemp("credit"),
        tiny_encoder,
        miner={**MINER, "credit": True},
        budget={"share_of_window": 0.4},
    )
    evolve(settings, rounds=1)
    return evolve(settings, rounds=2)


def test_a_round_says_what_each_agents_labels_did(two_rounds: EvolutionResult) -> None:
    for report in two_rounds.rounds[1:]:
        told = report["credit"]
        assert {name: item["pairs"] for name, item in told.items()} == report["counts"]["mined_by"]
        assert sum(item["labels"] for item in told.values()) == report["counts"]["labelled"]
        assert sum(abs(item["credit"]) for item in told.values()) == pytest.approx(1.0)


def test_credit_sets_the_next_rounds_quotas_within_half_and_twice_the_share(
    two_rounds: EvolutionResult,
) -> None:
    told = json.loads((two_rounds.workspace / "rounds/001/credit.json").read_text(encoding="utf-8"))
    assert told == two_rounds.rounds[1]["credit"]
    assert any(item["factor"] != 1.0 for item in told.values())
    assert all(FLOOR <= item["factor"] <= CEILING for item in told.values())
    even = dict.fromkeys(DEFAULT_AGENTS, 1.0)
    for report, shares in zip(two_rounds.rounds[1:], (even, credited(even, told)), strict=True):
        quotas = nomination_quotas(report["counts"]["mined"], shares)
        for name, path in report["nominations"].items():
            assert len(pd.read_parquet(two_rounds.workspace / path)) <= quotas[name]
        doubt = pd.read_parquet(two_rounds.workspace / report["nominations"]["uncertainty"])
        assert len(doubt) == quotas["uncertainty"]  # every pair has an entropy: it uses its quota up


def test_a_budget_may_be_a_share_of_each_window(two_rounds: EvolutionResult) -> None:
    for report in two_rounds.rounds[1:]:
        assert report["counts"]["mined"] == math.ceil(round(0.4 * report["window"]["pairs"], 6))
