"""What a chat judge sends, reads and pays for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Move, Say, Status, grade

from serm.agents.panel import open_panel
from serm.agents.prompt import OWN, read_prompt
from serm.core import Failure, FailureKind, Pair, Settings
from serm.core.errors import BudgetExceededError, ConfigError
from serm.core.settings_loop import Price
from serm.llm.budget import Budget, most
from serm.llm.parse import GradeReply, parse_grade
from serm.llm.retry import back_off, retry_after
from serm.storage.judgments import JudgmentStore

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]


def test_the_request_has_the_rubric_first_the_document_last_and_a_schema(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith
) -> None:
    pair = Pair("q", "d", "red {document} shoes", "Made of leather {query}.", title="Shoe")
    with open_panel(settings_with({"backend": f"{stub.url}#m/odel", "name": "j"})) as panel:
        panel.judge("j", [pair], store)
    (body,) = stub.bodies
    assert body["model"] == "m/odel"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    user = body["messages"][1]["content"]
    assert user == "Query: red {document} shoes\n\nPassage: Shoe\nMade of leather {query}."
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["grade"] == {"type": "integer", "enum": [0, 1, 2, 3]}
    assert schema["required"] == ["grade", "reason"]
    assert (body["temperature"], body["max_tokens"]) == (0.0, 512)


def test_further_paths_are_warmer_and_have_seeds_of_their_own_and_a_majority_stops_them(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    grades = [3, 1, 3, 3, 0]
    stub.play = lambda body, times: grade(grades[times], f"path {times}")
    with open_panel(settings_with(f"{stub.url}#stub", agreement={"paths": 5})) as panel:
        panel.judge("stub", pairs("a"), store)
    assert [body["temperature"] for body in stub.bodies] == [0.0, 0.7, 0.7, 0.7]
    assert [body["seed"] for body in stub.bodies] == [7, 8, 9, 10]
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (judgment.grade, judgment.paths, judgment.rationale) == (3, (3, 1, 3, 3), "path 0")
    assert judgment.distribution == (0.0, 0.25, 0.0, 0.75)
    assert (judgment.tokens_in, judgment.requests) == (400, 4)


def test_paths_that_tie_are_no_majority_and_are_not_asked_again(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: grade(times % 2)
    with open_panel(settings_with(f"{stub.url}#stub", agreement={"paths": 2})) as panel:
        panel.judge("stub", pairs("a"), store)
        again = panel.judge("stub", pairs("a"), store)
    assert dict(again.failures) == {"no_majority": 1}
    assert (again.recorded, len(stub.bodies)) == (1, 2)


def test_after_a_failed_path_only_that_path_is_asked_again(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    broken = True

    def play(body: dict[str, Any], _: int) -> Move:
        path = body["seed"] - 7
        return Status(404) if broken and path == 1 else grade((2, 2, 1)[path])

    stub.play = play
    with open_panel(settings_with(f"{stub.url}#stub", agreement={"paths": 3})) as panel:
        assert dict(panel.judge("stub", pairs("a"), store).failures) == {"refused": 1}
        assert len(stub.bodies) == 3
        broken = False
        panel.judge("stub", pairs("a"), store)
    assert [body["seed"] for body in stub.bodies[3:]] == [8]
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (judgment.grade, judgment.paths) == (2, (2, 2))


@pytest.mark.parametrize(("move", "asked"), [(Status(404), 1), (Status(503), 2)])
def test_paths_are_not_asked_where_they_would_fail_as_those_before(  # noqa: PLR0917
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: SettingsWith,
    pairs: PairsOf,
    move: Move,
    asked: int,
) -> None:
    stub.play = lambda body, times: move
    judge, llm = {"backend": f"{stub.url}#stub", "logprobs": "off"}, {"retries": 0, "timeout": 10}
    with open_panel(settings_with(judge, agreement={"paths": 7}, llm=llm)) as panel:
        assert panel.judge("stub", pairs("a"), store).graded == 0
    assert len(stub.bodies) == asked


def test_no_more_calls_are_in_flight_than_the_settings_allow_whatever_the_number_of_shards(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    stub.play = lambda body, times: Say('{"grade": 1, "reason": ""}', after=0.02)
    everything = pairs(*(f"w{number}" for number in range(40)))
    with (
        open_panel(settings_with(f"{stub.url}#stub", llm={"concurrency": 3, "timeout": 5})) as panel,
        ThreadPoolExecutor(4) as threads,
    ):
        shards = [everything[first : first + 10] for first in range(0, 40, 10)]
        reports = list(threads.map(lambda shard: panel.judge("stub", shard, store), shards))
    assert sum(report.graded for report in reports) == 40
    assert stub.most_in_flight == 3


def test_tokens_are_priced_by_the_table(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    prices = {"stub": {"input": 2.5, "output": 10}}
    with open_panel(settings_with(f"{stub.url}#stub", llm={"prices": prices})) as panel:
        report = panel.judge("stub", pairs("a", "b"), store)
    assert report.cost == pytest.approx(2 * (100 * 2.5 + 10 * 10) / 1e6)
    assert store.spent() == pytest.approx(report.cost)
    assert report.tokens == 220


def test_the_run_stops_before_a_call_could_pass_the_budget_and_keeps_what_was_paid_for(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: Say('{"grade": 1, "reason": ""}', tokens_in=1000, tokens_out=100)
    prices = {"stub": {"input": 1000, "output": 1000}}  # 1.1 a call, at most some 2 with this prompt

    def settings(limit: float) -> Settings:
        llm = {"prices": prices, "concurrency": 2, "max_tokens": 128}
        return settings_with(f"{stub.url}#stub", llm=llm, budget={"currency": limit})

    words = [f"w{number}" for number in range(20)]
    with open_panel(settings(10)) as panel, pytest.raises(BudgetExceededError, match="budget of 10"):
        panel.judge("stub", pairs(*words), store)
    first = len(stub.bodies)
    assert 1 < first < 10
    assert store.totals().judgments == first, "what was paid for is kept"
    assert store.spent() == pytest.approx(1.1 * first)
    assert store.spent() <= 10
    assert store.lost_calls() == 0

    with open_panel(settings(10)) as panel, pytest.raises(BudgetExceededError):  # the same money again
        panel.judge("stub", pairs(*words), store)
    second = len(stub.bodies)
    assert second <= first + 1, "one more may fit once nothing is in flight"
    assert store.spent() == pytest.approx(1.1 * second)
    assert store.spent() <= 10

    with open_panel(settings(100)) as panel:
        report = panel.judge("stub", pairs(*words), store)
    assert (report.graded, report.recorded, len(stub.bodies)) == (20, second, 20)


def test_a_budget_without_a_price_is_a_config_error(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    with pytest.raises(ConfigError, match="no price for `gpt-4o`"):
        open_panel(settings_with("openai:gpt-4o", budget={"currency": 5}))


def test_where_a_server_does_not_count_tokens_the_most_they_can_cost_is_counted(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: Say('{"grade": 1, "reason": ""}', usage=False)
    llm = {"prices": {"stub": {"input": 1, "output": 1}}}
    with open_panel(settings_with(f"{stub.url}#stub", llm=llm)) as panel:
        report = panel.judge("stub", pairs("a"), store)
    assert report.cost > 512 / 1e6
    assert report.tokens == 0


def test_a_budget_counts_what_is_in_flight() -> None:
    budget = Budget(1.0)
    budget.reserve(0.6)
    with pytest.raises(BudgetExceededError):
        budget.reserve(0.6)
    budget.settle(0.6, 0.1)
    budget.reserve(0.6)


def test_no_text_costs_more_than_its_bytes() -> None:
    assert most(Price(input=1e6, output=1e6), ["é"], 10) == pytest.approx(64 + 2 + 10)
    assert most(None, ["text"], 10) == 0


@pytest.mark.parametrize("name", OWN)
def test_every_prompt_that_comes_with_serm_can_be_read_and_has_a_name_of_its_own(name: str) -> None:
    prompt = read_prompt(name)
    assert len(prompt.hash) == 16
    assert len({read_prompt(other).hash for other in OWN}) == len(OWN)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("system: a\nuser: '{query}'", "lacks {document}"),
        ("user: '{query} {document}'", "`system` is no text"),
        ("system: a\nuser: '{query} {document}'\nfields: [mark]", "`fields`"),
        ("[", "cannot be read"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_prompt("mine.yaml", tmp_path)
    assert says in error.value.message
    assert error.value.remedy


def test_an_unknown_prompt_is_refused_with_the_names_of_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="umbrela, grade_only, reasoned"):
        read_prompt("nonsense", tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"grade": 2, "reason": "r"}', GradeReply(2, "r")),
        (' {"reason": "r", "grade": 0}\n', GradeReply(0, "r")),
        ('{"grade": 3}', GradeReply(3)),
        ('```json\n{"grade": 1}\n```', GradeReply(1)),
        ('{"grade": 4}', FailureKind.OUT_OF_RANGE),
        ('{"grade": null}', FailureKind.UNPARSABLE),
        ('{"score": 2}', FailureKind.UNPARSABLE),
        ("2", FailureKind.UNPARSABLE),
        ("[" * 100_000, FailureKind.UNPARSABLE),
        ('{"grade": 2} {"grade": 3}', FailureKind.UNPARSABLE),
    ],
)
def test_a_text_is_read_strictly(text: str, expected: object) -> None:
    got = parse_grade(text)
    assert (got.kind if isinstance(got, Failure) else got) == expected


def test_another_scale_is_mapped_and_what_the_map_does_not_name_is_out_of_range() -> None:
    assert parse_grade('{"grade": 1}', {0: 0, 1: 2}) == GradeReply(2)
    got = parse_grade('{"grade": 2}', {0: 0, 1: 2})
    assert isinstance(got, Failure)
    assert got.kind is FailureKind.OUT_OF_RANGE


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after("1.5") == 1.5
    assert retry_after("Wed, 21 Oct 2015 07:28:10 GMT", now=1445412480.0) == 10
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_the_wait_doubles_up_to_a_bound_and_is_never_under_what_the_server_asked() -> None:
    jitter = random.Random(1)
    for attempt, bound in ((0, 0.5), (1, 1.0), (3, 4.0), (20, 30.0)):
        assert bound / 2 <= back_off(attempt, None, jitter) <= bound
    assert back_off(0, 7.0, jitter) >= 7.0


def test_a_panel_may_be_closed_twice(settings_with: SettingsWith, stub: ChatStub) -> None:
    panel = open_panel(settings_with(f"{stub.url}#stub"))
    panel.close()
    panel.close()
