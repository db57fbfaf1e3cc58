"""The protocols that come with serm: they are read, and every arm is what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from serm.benchmarks.protocol import COLLECTION, PACKAGED, read_protocol
from serm.core.errors import ConfigError

NAMES = sorted(
    {file.stem for file in PACKAGED.glob("*.yaml")} - {COLLECTION}
)  # which has no data: test_collection
MINING = [name for name in NAMES if name.startswith("mining-")]
SHARE = {"5": 0.05, "20": 0.2}


@pytest.mark.parametrize("name", NAMES)
def test_every_arms_settings_can_be_built_and_somebody_mines_where_mining_is_meant(
    name: str, tmp_path: Path
) -> None:
    protocol = read_protocol(name)
    for arm in protocol.arms:
        miner = protocol.settings(arm, protocol.seeds[0], tmp_path, next(iter(protocol.folds))).miner
        assert miner.choice == "random" or any(miner.agents.values()), arm


@pytest.mark.parametrize("name", MINING)
def test_a_mining_protocol_sends_one_share_of_each_window_and_a_marked_arm_twice_as_much(
    name: str, tmp_path: Path
) -> None:
    protocol = read_protocol(name)
    share = SHARE.get(name.rsplit("-", 1)[1], 0.1)
    for arm, given in protocol.arms.items():
        if given.matched or arm == "random choice, twice the pairs":
            budget = protocol.settings(arm, 1, tmp_path).budget
            assert budget.share_of_window == share * (1 if given.matched else 2)
    assert protocol.baseline.startswith("random choice")
    assert protocol.settings(protocol.baseline, 1, tmp_path).miner.choice == "random"
    assert set(protocol.settings("entropy alone", 1, tmp_path).miner.agents) == {"uncertainty"}
    assert "drift" not in protocol.settings("the paper's four signals", 1, tmp_path).miner.agents


@pytest.mark.parametrize("name", [name for name in MINING if name.rsplit("-", 1)[1] not in SHARE])
def test_there_is_a_row_for_every_signal(name: str, tmp_path: Path) -> None:
    protocol = read_protocol(name)
    own = set(protocol.settings("ours", 1, tmp_path).miner.agents)
    for arm in protocol.arms:
        agents = set(protocol.settings(arm, 1, tmp_path).miner.agents)
        kind, _, signal = arm.partition(" ")
        if kind == "minus":
            assert own - agents == {signal.replace(" ", "_")}
        if kind == "plus" and signal != "density":
            assert agents - own == {signal.replace(" ", "_")}
    assert {f"minus {agent.replace('_', ' ')}" for agent in own} < set(protocol.arms)
    assert {
        "plus click model",
        "plus skipped",
        "plus bald",
        "plus committee",
        "plus novelty",
        "plus density",
    } < set(protocol.arms)


@pytest.mark.parametrize("name", [name for name in NAMES if "marketplace" in name])
def test_marketplaces_are_of_one_size_with_enough_test_queries(name: str, tmp_path: Path) -> None:
    protocol, main = read_protocol(name), read_protocol("marketplace")
    market = protocol.marketplace
    assert market is not None
    assert main.marketplace is not None
    assert market.size == main.marketplace.size
    assert min(market.size[name] for name in ("static_test", "window_test", "last_test")) >= 500
    assert market.preset == ("harsh" if "harsh" in name else "default")
    ours = [item.settings("ours", 1, tmp_path) for item in (protocol, main)]
    assert ours[0].training == ours[1].training  # arms of several protocols stand beside each other
    assert ours[0].miner == ours[1].miner
    assert ours[0].agreement == ours[1].agreement


REAL_TEXT = [*(name for name in MINING if "verticals" in name), "markets", "trec-dl", "chorus"]


@pytest.mark.parametrize("name", REAL_TEXT)
def test_protocols_of_real_text_are_of_one_recipe(name: str, tmp_path: Path) -> None:
    ours, main = (read_protocol(item).settings("ours", 1, tmp_path) for item in (name, "verticals"))
    assert (ours.training, ours.miner, ours.agreement) == (main.training, main.miner, main.agreement)


def test_a_whole_window_is_a_whole_window(tmp_path: Path) -> None:
    for name in ("marketplace", "verticals"):
        budget = read_protocol(name).settings("full window + panel", 1, tmp_path).budget
        assert budget.pairs_of(5_000) >= 5_000


def test_a_protocol_may_be_like_another_one(tmp_path: Path) -> None:
    arms = "baseline: a\narms: {a: {}, b: {miner: {list_size: 2}}}\n"
    over = "arms: {b: {miner: {list_size: 3}}, c: {}}\nablations: {d: {gate: {enabled: false}}}\n"
    (tmp_path / "plain.yaml").write_text(f"name: plain\nmarketplace: {{preset: default}}\n{arms}")
    (tmp_path / "more.yaml").write_text(f"name: more\nlike: plain\n{over}")
    more = read_protocol(tmp_path / "more.yaml")
    assert (more.name, more.baseline, list(more.arms)) == ("more", "a", ["a", "b", "c", "d"])
    assert [name for name, arm in more.arms.items() if arm.ablation] == ["d"]
    assert more.arms["d"].change == {"gate": {"enabled": False}}
    assert more.arms["b"].change == {"miner": {"list_size": 3}}
    (tmp_path / "lost.yaml").write_text("name: lost\nlike: nobody\n")
    with pytest.raises(ConfigError, match=r"nobody\.yaml"):
        read_protocol(tmp_path / "lost.yaml")
