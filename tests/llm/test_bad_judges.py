"""Judges that fail in every way there is: each failure is of its kind, its neighbours keep their grades."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_stub import Bytes, ChatStub, Drop, Hang, Move, Raw, Say, Status, grade

from serm.agents.panel import open_panel
from serm.core import FailureKind, Pair, Settings
from serm.storage.judgments import JudgmentStore
from serm.storage.trace import Tracer

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]

MOVES: dict[str, Move] = {
    "prose": Say("I would say that this is quite relevant, perhaps a 2."),
    "seven": grade(7),
    "negative": grade(-1),
    "half": grade(2.5),
    "quoted": grade("2"),
    "true": grade(True),
    "list": Say("[2]"),
    "prefixed": Say('Sure! {"grade": 2}'),
    "empty": Say(""),
    "digits": Say(f'{{"grade": {"9" * 5_000}}}'),
    "content-number": Raw(b'{"choices": [{"message": {"content": 2}}]}'),
    "cut-json": Say('{"grade": 2, "rea'),
    "cut-body": Raw(b'{"id": "1", "choices": [{"index": 0, "mess'),
    "html": Raw(b"<html>gateway</html>", "text/html"),
    "no-choices": Raw(b'{"id": "1", "object": "chat.completion", "choices": []}'),
    "http-400": Status(400),
    "http-401": Status(401),
    "http-403": Status(403),
    "http-404": Status(404),
    "http-429": Status(429),
    "quota": Status(429, kind="insufficient_quota"),
    "http-500": Status(500),
    "http-503": Status(503),
    "drop": Drop(),
    "no-http": Bytes(b"good day\r\n\r\n"),
    "no-status": Bytes(b"HTTP/1.1 fine OK\r\n\r\n"),
    "no-chunk": Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "hang": Hang(),
}
KINDS = {
    "prose": FailureKind.UNPARSABLE,
    "seven": FailureKind.OUT_OF_RANGE,
    "negative": FailureKind.OUT_OF_RANGE,
    "half": FailureKind.UNPARSABLE,
    "quoted": FailureKind.UNPARSABLE,
    "true": FailureKind.UNPARSABLE,
    "list": FailureKind.UNPARSABLE,
    "prefixed": FailureKind.UNPARSABLE,
    "empty": FailureKind.UNPARSABLE,
    "digits": FailureKind.UNPARSABLE,
    "content-number": FailureKind.UNPARSABLE,
    "cut-json": FailureKind.UNPARSABLE,
    "cut-body": FailureKind.UNPARSABLE,
    "html": FailureKind.SERVER,
    "no-choices": FailureKind.SERVER,
    "http-400": FailureKind.REFUSED,
    "http-401": FailureKind.REFUSED,
    "http-403": FailureKind.REFUSED,
    "http-404": FailureKind.REFUSED,
    "http-429": FailureKind.RATE_LIMITED,
    "quota": FailureKind.REFUSED,
    "http-500": FailureKind.SERVER,
    "http-503": FailureKind.SERVER,
    "drop": FailureKind.SERVER,
    "no-http": FailureKind.SERVER,
    "no-status": FailureKind.SERVER,
    "no-chunk": FailureKind.SERVER,
    "hang": FailureKind.TIMEOUT,
}
ASKED_ONCE = {"seven", "negative", "http-400", "http-401", "http-403", "http-404", "quota"}


def word_of(body: dict[str, Any]) -> str:
    """What stands in brackets in the document."""
    return str(body["messages"][-1]["content"]).rpartition("[")[2].partition("]")[0]


def test_every_failure_has_its_kind_and_neighbours_are_neither_shifted_nor_dropped(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: MOVES.get(word_of(body)) or grade(int(word_of(body)[-1]))
    words = [word for number, bad in enumerate(MOVES) for word in (bad, f"good-{number}-{number % 4}")]

    with open_panel(settings_with(f"{stub.url}#stub", llm={"timeout": 2.0})) as panel:
        report = panel.judge("stub", pairs(*words), store)

    assert (report.asked, report.failed, report.graded) == (2 * len(MOVES), len(MOVES), len(MOVES))
    for word in words:
        (judgment,) = store.for_pair(f"q-{word}", f"d-{word}")
        if word in MOVES:
            assert judgment.grade is None
            assert judgment.failure is not None
            assert (word, judgment.failure.kind) == (word, KINDS[word])
            times = 1 if word in ASKED_ONCE else 2
            assert (word, stub.asked(f"[{word}]", least=times)) == (word, times)
        else:
            assert (judgment.grade, judgment.failure) == (int(word[-1]), None)


def test_failures_are_asked_again_alone_and_a_good_answer_takes_their_place(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    broken = True
    stub.play = lambda body, times: Status(500) if broken and word_of(body) == "b" else grade(1)
    with open_panel(settings_with(f"{stub.url}#stub")) as panel:
        first = panel.judge("stub", pairs("a", "b", "c"), store)
        broken = False
        before = len(stub.bodies)
        second = panel.judge("stub", pairs("a", "b", "c"), store)
    assert (first.graded, first.failed, dict(first.failures)) == (2, 1, {"server": 1})
    assert (second.graded, second.failed, second.asked, second.recorded) == (3, 0, 1, 2)
    assert [word_of(body) for body in stub.bodies[before:]] == ["b"]


def test_a_server_that_recovers_within_the_retries_costs_no_judgment(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    moves = {0: Status(500), 1: Say("prose"), 2: Drop()}
    stub.play = lambda body, times: moves.get(times, grade(3))
    with open_panel(settings_with(f"{stub.url}#stub", llm={"retries": 3})) as panel:
        report = panel.judge("stub", pairs("a"), store)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (report.graded, judgment.grade, judgment.requests) == (1, 3, 4)
    assert judgment.tokens_in == 200, "the answer that could not be read was paid for too"


def test_retry_after_is_waited_for_by_all_calls_of_the_judge(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: (
        grade(0) if len(stub.bodies) > 1 else Status(429, headers={"Retry-After": "0.4"})
    )
    with open_panel(settings_with(f"{stub.url}#stub", llm={"concurrency": 1})) as panel:
        report = panel.judge("stub", pairs("a", "b"), store)
    assert report.graded == 2
    assert stub.times[1] - stub.times[0] >= 0.4


@pytest.mark.parametrize("refusal", [(429, "rate_limited"), (503, "server")])
def test_an_hour_of_retry_after_is_not_waited_for(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: SettingsWith,
    pairs: PairsOf,
    refusal: tuple[int, str],
) -> None:
    status, kind = refusal
    stub.play = lambda body, times: Status(status, headers={"Retry-After": "3600"})
    began = time.monotonic()
    with open_panel(settings_with(f"{stub.url}#stub")) as panel:
        report = panel.judge("stub", pairs("a"), store)
    assert dict(report.failures) == {kind: 1}
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_is_a_failure_of_kind_server(
    store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with open_panel(settings_with("http://127.0.0.1:9/v1#stub", llm={"retries": 0})) as panel:
        report = panel.judge("stub", pairs("a"), store)
    assert dict(report.failures) == {"server": 1}


@pytest.mark.parametrize(
    ("move", "says"),
    [
        (Status(401, "bad key"), "name the variable that holds its key in `api_key_env`"),
        (Status(404, "The model `stub` does not exist"), "model's name"),
        (Status(500), "does not answer (server)"),
        (Say("prose"), "does not answer (unparsable)"),
        (Say("", finish="length"), "cut off at `llm.max_tokens` = 512 tokens, which may be raised"),
        (Say("", finish="content_filter"), "content filter"),
    ],
)
def test_a_judge_that_cannot_work_says_so_when_it_is_to_prove_itself(
    stub: ChatStub, settings_with: SettingsWith, move: Move, says: str
) -> None:
    stub.play = lambda body, times: move
    with open_panel(settings_with(f"{stub.url}#stub", llm={"retries": 0, "timeout": 10})) as panel:
        assert says in panel.prove()["stub"]


def test_a_server_that_ignores_the_schema_is_fine_where_the_model_obeys_the_prompt(
    stub: ChatStub, settings_with: SettingsWith
) -> None:
    stub.play = lambda body, times: (
        Say("Paris is in France.") if "no JSON" in body["messages"][-1]["content"] else grade(3)
    )
    with open_panel(settings_with(f"{stub.url}#stub", llm={"retries": 0})) as panel:
        assert panel.prove() == {"stub": ""}
        assert panel.members["stub"].judge.proof.constrained is False
    stub.play = lambda body, times: grade(3)
    with open_panel(settings_with(f"{stub.url}#stub", llm={"retries": 0})) as panel:
        assert panel.prove() == {"stub": ""}
        assert panel.members["stub"].judge.proof.constrained is True


def test_half_an_emoji_in_a_reason_costs_neither_its_own_grade_nor_its_neighbours(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf, tmp_path: Path
) -> None:
    stub.play = lambda body, times: (
        Say(r'{"grade": 2, "reason": "a \ud83d\u0000"}') if word_of(body) == "half" else grade(1)
    )
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with (
        open_panel(settings_with(f"{stub.url}#stub", llm={"timeout": 10}, tracing={"sample": 1})) as panel,
        tracer.active(),
    ):
        report = panel.judge("stub", pairs("a", "half", "b"), store)
    tracer.close()
    assert (report.graded, report.failed) == (3, 0)
    (judgment,) = store.for_pair("q-half", "d-half")
    assert (judgment.grade, judgment.rationale) == (2, "a \ufffd\ufffd")
    assert [store.for_pair(f"q-{word}", f"d-{word}")[0].grade for word in "ab"] == [1, 1]


def test_an_answer_that_cannot_be_read_is_in_the_ledger_as_a_failure_that_was_paid(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: Say(f'{{"grade": {"9" * 5_000}}}')
    llm = {"prices": {"stub": {"input": 1_000, "output": 1_000}}, "retries": 0}
    with open_panel(settings_with(f"{stub.url}#stub", llm=llm)) as panel:
        report = panel.judge("stub", pairs("a"), store)
    assert dict(report.failures) == {"unparsable": 1}
    assert store.spent() == report.cost == pytest.approx(0.11)
