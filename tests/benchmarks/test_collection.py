"""`serm benchmark FOLDER` and `serm benchmark CONFIG`: arms that nobody had to write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from serm.benchmarks.protocol import PACKAGED, Protocol, read_protocol
from serm.core.errors import ConfigError


def data_folder(folder: Path, judges: dict[str, list[int]]) -> Path:
    folder.mkdir()
    pairs = [
        {"query_id": f"q{n}", "doc_id": "d", "query": f"query {n}", "text": "text", "grade": n % 4}
        for n in range(8)
    ]
    pd.DataFrame(pairs).to_parquet(folder / "pairs.parquet")
    rows = [
        {"query_id": f"q{n}", "doc_id": "d", "judge": judge, "grade": grade}
        for judge, grades in judges.items()
        for n, grade in enumerate(grades)
    ]
    pd.DataFrame(rows).to_parquet(folder / "judgments.parquet")
    return folder


def backends(protocol: Protocol, arm: str, out: Path) -> list[str]:
    return [judge.backend.partition("#")[2] for judge in protocol.settings(arm, 1, out).judges]


def test_a_folder_of_data_is_compared_by_the_arms_of_collection(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "shop", {"a": [0, 2], "b": [1, 3], "two": [0, 1]})
    protocol = read_protocol(folder)
    assert protocol.name == "collection-shop"
    assert backends(protocol, "ours", tmp_path / "out") == ["a", "b"]
    assert backends(protocol, "competitor", tmp_path / "out") == ["a"]
    settings = protocol.settings("ours", 2, tmp_path / "out")
    assert settings.resolve(settings.data.sources[0].pairs) == folder
    assert settings.workspace_path.is_relative_to(tmp_path / "out")
    again = read_protocol(protocol.file)  # what a run's own process is told
    assert again.settings("ours", 2, tmp_path / "out") == settings


def test_a_recipe_that_the_config_states_is_kept(tmp_path: Path) -> None:
    """Its base may have twice the layers that the recipe of the collection was chosen for."""
    config = tmp_path / "mine.yaml"
    stated = {"training": {"freeze_layers": 10, "learning_rate": 2e-5}, "miner": None, "judges": "openai:a"}
    config.write_text(yaml.safe_dump({"data": {"sources": [{"pairs": "p.parquet"}]}, **stated}))
    protocol = read_protocol(config)
    for arm in ("ours", "competitor"):
        training = protocol.settings(arm, 1, tmp_path / "out").training
        assert (training.freeze_layers, training.learning_rate) == (10, 2e-5)
        assert training.seed_epochs == 0, "of what it does not say the collection's recipe holds"
    assert protocol.settings("ours", 1, tmp_path / "out").miner.pool == 600


ARMS = yaml.safe_load((PACKAGED / "collection.yaml").read_text(encoding="utf-8"))["arms"]


@pytest.mark.parametrize("arm", ARMS)
def test_its_arms_take_any_config(tmp_path: Path, arm: str) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump({"data": {"sources": [{"pairs": "p.parquet"}]}, "judges": "openai:a"}))
    settings = read_protocol(config).settings(arm, 1, tmp_path / "out")
    assert settings.data.sources[0].pairs == Path("p.parquet")
    assert settings.folder == tmp_path
    assert settings.miner.choice == "random" or any(settings.miner.agents.values())


def test_a_config_in_a_folder_is_taken_for_it(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "shop", {"a": [0, 2]})
    values = {"data": {"sources": [{"pairs": "pairs.parquet"}]}, "judges": ["replay:judgments.parquet#b"]}
    (folder / "serm.yaml").write_text(yaml.safe_dump(values))
    protocol = read_protocol(folder)
    assert protocol.name == "collection-shop"
    assert backends(protocol, "ours", tmp_path / "out") == ["b"]


def protocol_like(folder: Path, like: str, **values: Any) -> Protocol:
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump({"name": "own", "like": like, **values}))
    return read_protocol(file)


def test_a_protocol_may_be_like_one_that_comes_with_serm(tmp_path: Path) -> None:
    protocol = protocol_like(tmp_path, "verticals", seeds=[7])
    assert protocol.seeds == (7,)
    assert {*protocol.arms} == {*read_protocol("verticals").arms}
    assert protocol.settings("ours", 7, tmp_path).folder == (PACKAGED / "../../configs").resolve()
    (tmp_path / "serm.yaml").write_text(
        yaml.safe_dump({"data": {"sources": [{"pairs": "p.parquet"}]}, "judges": ["openai:a", "openai:b"]})
    )
    mine = protocol_like(tmp_path, "collection", config="serm.yaml", arms={"ours": {}})
    assert mine.settings("ours", 1, tmp_path).folder == tmp_path


def test_a_protocol_of_the_name_of_one_of_serms_own_may_be_like_it(tmp_path: Path) -> None:
    file = tmp_path / "verticals.yaml"
    file.write_text(yaml.safe_dump({"like": "verticals", "seeds": [7]}))
    protocol = read_protocol(file)
    assert protocol.seeds == (7,)
    assert {*protocol.arms} == {*read_protocol("verticals").arms}
    assert protocol_like(tmp_path, "verticals").seeds == (7,), "beside it stands another one of that name"


def test_an_arm_that_is_null_is_left_out_of_the_protocol_that_states_it(tmp_path: Path) -> None:
    whole = read_protocol("verticals")
    gone = {"arms": {"self-training": None}, "ablations": {"no gate": None}}
    left = protocol_like(tmp_path, "verticals", **gone)
    assert {*whole.arms} - {*left.arms} == {"self-training", "no gate"}
    moved = {"arms": {"self-training": None}, "ablations": {"self-training": {}}}
    assert protocol_like(tmp_path, "verticals", **moved).arms["self-training"].ablation
    with pytest.raises(ConfigError, match=rf"baseline `{re.escape(whole.baseline)}` is none of the arms"):
        protocol_like(tmp_path, "verticals", arms={whole.baseline: None})
    with pytest.raises(ConfigError, match=r"arm `nobody` is null, .* write `{}`"):
        protocol_like(tmp_path, "verticals", arms={"nobody": None})


def test_a_name_in_like_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("like: two")
    (tmp_path / "two.yaml").write_text("like: one")
    with pytest.raises(ConfigError, match=r"no protocol is like itself: own like one like two like one\."):
        protocol_like(tmp_path, "one")
    with pytest.raises(ConfigError, match=r"there is no file .*own\.yaml"):
        protocol_like(tmp_path, "own")
    for like in ("../one", "sub/one", ""):
        with pytest.raises(ConfigError, match=rf"`like: {like}` is no name of a protocol"):
            protocol_like(tmp_path, like)


def test_an_empty_section_of_a_config_is_told(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("data: {sources: [{pairs: p.parquet}]}\nstorage:\njudges: openai:a\n")
    (tmp_path / "base.yaml").write_text("name: base\nconfig: mine.yaml\nbaseline: a\narms: {a: {}}\n")
    with pytest.raises(ConfigError, match="storage: it is a section"):
        read_protocol(tmp_path / "base.yaml").settings("a", 1, tmp_path)


def test_a_size_that_no_marketplace_has_is_told(tmp_path: Path) -> None:
    file = tmp_path / "base.yaml"
    for size in ("{window: 2}", "{windows: many}"):
        file.write_text(f"name: base\nmarketplace: {{size: {size}}}\nbaseline: a\narms: {{a: {{}}}}\n")
        with pytest.raises(ConfigError, match=r"`marketplace\.size` cannot be read"):
            read_protocol(file).settings("a", 1, tmp_path)


def test_a_judge_that_the_config_does_not_name_cannot_be_asked_alone(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump({"data": {"sources": [{"pairs": "p.parquet"}]}}))
    with pytest.raises(ConfigError, match="asks judge 1 alone, and the config names 0"):
        read_protocol(config).settings("competitor", 1, tmp_path)


def test_without_data_it_is_no_benchmark() -> None:
    with pytest.raises(ConfigError, match="on data of yours") as raised:
        read_protocol("collection")
    assert "serm benchmark FOLDER" in raised.value.remedy
