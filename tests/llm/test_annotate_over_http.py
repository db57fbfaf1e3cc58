"""`serm annotate` with judges behind a real server: what is asked, what is saved, what is retried."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from annotating import asked, number, say, write_config, write_pairs
from chat_stub import ChatStub, Move, Say, Status

from serm.cli.main import run
from serm.core import Settings
from serm.graphs import annotate
from serm.storage.labels_io import read_labels_any

Out = pytest.CaptureFixture[str]


def labels_of(path: Path) -> dict[int, tuple[str, int | None]]:
    """Pair number to outcome and grade."""
    frame = read_labels_any(path)
    grades = [
        None if missing else int(grade)
        for grade, missing in zip(frame["grade"], frame["grade"].isna(), strict=True)
    ]
    numbers = [int(doc_id[1:]) for doc_id in frame["doc_id"]]
    return dict(zip(numbers, zip(frame["outcome"], grades, strict=True), strict=True))


def test_the_third_judge_is_asked_of_nothing_that_is_settled(
    stub: ChatStub, tmp_path: Path, capfd: Out
) -> None:
    """The second judge disagrees on every fourth pair; unanimity is then broken."""

    def play(body: dict, times: int) -> Move:
        return say(1 if body["model"] == "two" and number(body) % 4 == 0 else 2)

    stub.play = play
    pairs, out = write_pairs(tmp_path, 40), tmp_path / "labels.parquet"
    config = write_config(tmp_path, stub, "one", "two", "three")
    assert run(["annotate", str(pairs), "--config", str(config), "--out", str(out)]) == 0
    counted = Counter(label for label, _ in labels_of(out).values())
    assert counted == {"unanimous": 30, "dropped": 10}
    assert [len(asked(stub, model)) for model in ("one", "two", "three")] == [40, 40, 30]
    frame = read_labels_any(out).set_index("doc_id")
    assert frame.loc["d4", "votes"] == [["one", 2], ["two", 1]], "only those who were asked"
    assert (frame.loc["d4", "calls"], frame.loc["d5", "calls"]) == (2, 3)
    told = capfd.readouterr().out
    assert "Calls saved: 8.3% of 120: 0 as a judge's majority stood, 10 as a pair's outcome stood." in told

    before = len(stub.bodies)
    assert run(["annotate", str(pairs), "--config", str(config), "--out", str(out)]) == 0
    assert len(stub.bodies) == before, "run again it asks nobody, and has no judge prove itself"


def test_without_the_early_stop_all_are_asked_and_the_labels_are_the_same(
    stub: ChatStub, tmp_path: Path
) -> None:
    stub.play = lambda body, times: say((number(body) * len(body["model"])) % 3)
    pairs = write_pairs(tmp_path, 30)
    outcomes = []
    for stop in (True, False):
        out = tmp_path / f"labels-{stop}.csv"
        agreement = {"early_stop": stop, "rule": "majority"}
        config = write_config(tmp_path, stub, "a", "bb", "ccc", agreement=agreement, workspace=f"work-{stop}")
        assert run(["annotate", str(pairs), "--config", str(config), "--out", str(out)]) == 0
        outcomes.append(labels_of(out))
    assert outcomes[0] == outcomes[1]
    assert len(asked(stub, "a")) == 60
    assert 30 < len(asked(stub, "ccc")) < 60


def test_failed_judgments_stay_failed_until_they_are_retried_and_nothing_else_is_asked(
    stub: ChatStub, tmp_path: Path, capfd: Out
) -> None:
    def broken(body: dict, times: int) -> Move:
        if body["model"] == "two" and number(body) in (3, 7):
            return Status(500)
        return Say("no grade") if number(body) == 11 else say(2)

    stub.play = broken
    pairs, out = write_pairs(tmp_path, 20), tmp_path / "labels.jsonl"
    config = write_config(tmp_path, stub, "one", "two")
    command = ["annotate", str(pairs), "--config", str(config), "--out", str(out)]
    assert run(command) == 0
    assert {n for n, label in labels_of(out).items() if label == ("failed", None)} == {3, 7, 11}
    told = capfd.readouterr().out
    assert "3 failed" in told
    assert "Account of two, failed and repeated calls among it: " in told

    sent = len(stub.bodies)
    assert run(command) == 0
    assert len(stub.bodies) == sent, "a failure is not asked again unless one says so"

    stub.play = lambda body, times: say(2)
    assert run([*command, "--retry-failed"]) == 0
    assert Counter(asked(stub)[-4:]) == {"w11": 2, "w3": 1, "w7": 1}
    assert set(labels_of(out).values()) == {("unanimous", 2)}
    assert list(labels_of(out)) == list(range(20)), "in the order of the pairs"

    sent = len(stub.bodies)
    assert run([*command, "--retry-failed"]) == 0
    assert "No pair" in capfd.readouterr().out
    assert len(stub.bodies) == sent


def test_a_failure_among_labels_that_were_kept_is_retried_too(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: Status(500) if body["model"] == "three" and number(body) == 5 else say(1)
    pairs, out = write_pairs(tmp_path, 8), tmp_path / "labels.parquet"
    config = write_config(tmp_path, stub, "one", "two", "three")
    command = ["annotate", str(pairs), "--config", str(config), "--out", str(out)]
    assert run(command) == 0
    assert labels_of(out)[5] == ("unanimous", 1), "two of three answered"
    stub.play = lambda body, times: say(3)
    assert run([*command, "--retry-failed"]) == 0
    assert labels_of(out)[5] == ("dropped", None)
    assert labels_of(out)[4] == ("unanimous", 1)


def test_when_the_money_ends_what_was_judged_is_labelled_and_more_money_goes_on(
    stub: ChatStub, tmp_path: Path, capfd: Out
) -> None:
    # A call costs 0.2, and not much more is reserved for it: the prompt has some 2,000 bytes.
    stub.play = lambda body, times: Say('{"grade": 2}', tokens_in=2_000, tokens_out=1)
    pairs, out = write_pairs(tmp_path, 60), tmp_path / "labels.csv"
    prices = {name: {"input": 100, "output": 100} for name in ("one", "two")}

    def with_budget(currency: float) -> list[str]:
        llm = {"prices": prices, "shard": 10, "max_tokens": 16}
        config = write_config(tmp_path, stub, "one", "two", llm=llm, budget={"currency": currency})
        return ["annotate", str(pairs), "--config", str(config), "--out", str(out)]

    assert run(with_budget(10.0)) == 6
    told = capfd.readouterr().out
    assert "Raise `budget.currency`" in told
    assert "not asked for want of money" in told
    first = labels_of(out)
    counted = Counter(outcome for outcome, _ in first.values())
    assert len(first) == 60
    assert counted["failed"] > 20
    assert counted["unanimous"] > 10, "judges take turns, so that money buys whole pairs"
    assert "over_budget" not in told.split("Failures")[0]

    assert run(with_budget(100.0)) == 0
    assert set(labels_of(out).values()) == {("unanimous", 2)}
    assert max(Counter(asked(stub, "one")).values()) == 1
    assert max(Counter(asked(stub, "two")).values()) == 1


def test_without_the_money_to_prove_a_judge_nothing_is_asked_and_the_sentence_is_of_money(
    stub: ChatStub, tmp_path: Path, capfd: Out
) -> None:
    pairs, out = write_pairs(tmp_path, 4), tmp_path / "labels.csv"
    llm = {"prices": {"one": {"input": 100, "output": 100}}}
    config = write_config(tmp_path, stub, "one", llm=llm, budget={"currency": 0.01})
    assert run(["annotate", str(pairs), "--config", str(config), "--out", str(out)]) == 6
    assert stub.bodies == []
    assert set(labels_of(out).values()) == {("failed", None)}
    told = capfd.readouterr().out
    assert "could pass the budget of 0.01" in told
    assert run(["doctor", str(config)]) == 1
    assert "could pass the budget of 0.01" in capfd.readouterr().out


def test_each_workspace_on_one_database_has_a_budget_of_its_own(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: Say('{"grade": 2}', tokens_in=2_000, tokens_out=1)  # 0.2 a call
    pairs, storage = write_pairs(tmp_path, 10), {"database": f"sqlite:///{tmp_path}/all.sqlite"}
    for workspace, judges in (("first", ("one", "two")), ("second", ("three", "four"))):
        llm = {"prices": {name: {"input": 100, "output": 100} for name in judges}, "max_tokens": 16}
        sections = {"llm": llm, "budget": {"currency": 6.0}, "storage": storage, "workspace": workspace}
        config = write_config(tmp_path, stub, *judges, **sections)
        out = tmp_path / f"{workspace}.csv"
        assert run(["annotate", str(pairs), "--config", str(config), "--out", str(out)]) == 0
        assert set(labels_of(out).values()) == {("unanimous", 2)}


def test_a_judge_that_cannot_work_stops_it_before_the_pairs_are_asked(
    stub: ChatStub, tmp_path: Path, capfd: Out
) -> None:
    stub.play = lambda body, times: Status(401, "wrong key") if body["model"] == "two" else say(2)
    pairs, out = write_pairs(tmp_path, 8), tmp_path / "labels.csv"
    config = write_config(tmp_path, stub, "one", "two")
    assert run(["annotate", str(pairs), "--config", str(config), "--out", str(out)]) == 5
    assert "two" in capfd.readouterr().err
    assert asked(stub) == []
    assert not out.exists()


def test_paths_that_cannot_change_a_majority_are_saved_and_counted(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: say(2)
    config = write_config(tmp_path, stub, "one", "two", "three", agreement={"paths": 7})
    frame = read_pairs_frame(write_pairs(tmp_path, 10))
    found = annotate(frame, Settings.from_yaml(config))
    saved = found.counts["saved"]
    assert (saved["full"], saved["within"], saved["across"]) == (210, 90, 0), "four alike of seven are enough"
    assert found.counts["judging"]["calls"] == 120
    assert len(asked(stub)) == 120


def read_pairs_frame(path: Path):  # type: ignore[no-untyped-def]
    import pandas as pd

    return pd.read_csv(path)
