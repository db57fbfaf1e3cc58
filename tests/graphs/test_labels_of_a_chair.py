"""Labels say who chaired: a model that is swapped makes its own, and the rule that was handed in is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from serm.core import Settings
from serm.core.hashing import digest
from serm.graphs import annotate
from serm.graphs.stages import stages

Make = Callable[..., Settings]


@pytest.fixture
def pairs() -> pd.DataFrame:
    rows = [(f"q{n}", f"query {n}", f"d{n}", f"doc {n}") for n in range(10)]
    return pd.DataFrame(rows, columns=["query_id", "query", "doc_id", "text"])


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Three judges, the last of whom disagrees on every other pair, under the rule of the majority."""
    said = [
        (f"q{n}", f"d{n}", judge, 0 if judge == "c" and n % 2 else 2) for n in range(10) for judge in "abc"
    ]
    frame = pd.DataFrame(said, columns=["query_id", "doc_id", "judge", "grade"])
    frame.to_parquet(tmp_path / "said.parquet")
    for rule in ("unanimous", "majority"):
        turns = [("peer_vote", {"rule": rule}), ("submit_labels", {"vote_id": "v1", "reason": "so"})]
        chair = [{"tool_calls": [{"name": name, "args": args}]} for name, args in turns]
        (tmp_path / f"{rule}.yaml").write_text(yaml.safe_dump({"agents": {"chair": chair}}))

    def settings(**sections: Any) -> Settings:
        judges = [f"replay:said.parquet#{name}" for name in "abc"]
        values = {"judges": judges, "agreement": {"rule": "majority"}, **sections}
        return Settings.from_mapping(values, folder=tmp_path, environment={})

    return settings


def test_another_chair_makes_labels_of_its_own_in_the_same_workspace(pairs: pd.DataFrame, make: Make) -> None:
    strict = annotate(pairs, make(agents={"llm": "scripted:unanimous.yaml"}))
    rules = annotate(pairs, make())
    loose = annotate(pairs, make(agents={"llm": "scripted:majority.yaml"}))
    switched_off = annotate(pairs, make(agents={"llm": "scripted:unanimous.yaml", "policy": "rules"}))
    assert strict.counts["outcomes"] == {"unanimous": 5, "dropped": 5}
    assert rules.counts["outcomes"] == loose.counts["outcomes"] == {"majority": 10}
    assert len({strict.folder, rules.folder, loose.folder}) == 3
    assert switched_off.folder == rules.folder


def test_the_rule_that_was_handed_in_is_told(pairs: pd.DataFrame, make: Make) -> None:
    found = annotate(pairs, make(agents={"llm": "scripted:unanimous.yaml"}))
    assert found.counts["rule"] == "unanimous"
    (panel,) = stages(found.labels, found.counts, {}, pd.DataFrame(columns=["query_id", "doc_id", "grade"]))
    assert (panel["rule"], panel["kept"]) == ("unanimous", 5)
    assert annotate(pairs, make()).counts["rule"] == "majority"


def test_labels_that_no_model_chaired_bear_the_names_that_they_always_had(
    pairs: pd.DataFrame, make: Make
) -> None:
    from serm.graphs.pairs_resources import PairsResources
    from serm.storage.pairs import check_pairs

    settings = make()
    folder = annotate(pairs, settings).folder
    with PairsResources(settings, check_pairs(pairs)) as resources:
        sample = resources.name
    votes = [[f"q{n}", f"d{n}", [["a", 2], ["b", 2], ["c", 0 if n % 2 else 2]]] for n in range(10)]
    rule = settings.agreement.model_dump(mode="json")
    assert folder.name == digest([sample, rule, "", votes])
