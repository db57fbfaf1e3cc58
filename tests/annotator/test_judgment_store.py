"""The judgments store: what is written is there, whatever happens after, in SQLite and in PostgreSQL."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from test_peer_vote import said

from serm.core import Answer, Failure, FailureKind
from serm.core.errors import StorageError
from serm.storage.accounts import Account
from serm.storage.group_commit import TRIES, GroupCommit, Item
from serm.storage.judgment_tables import Call
from serm.storage.judgments import JudgmentStore, wait
from serm.storage.turns import AgentTurn

TURN = AgentTurn("drift", "m", 1, 1, 0.5, "t")
CALL = Call("key", 0, Answer(grade=1, tokens_in=5, cost=0.25, rationale="words"), "trace", "a")


def test_a_judgment_comes_back_as_it_was_written_and_a_failure_is_replaced(url: str) -> None:
    full = said("a", 2, distribution=(0.0, 0.25, 0.5, 0.25), paths=(2, None, 2), simulated=True, trace_id="t")
    failed = said("b", None)
    with JudgmentStore(url) as store:
        store.put([full, failed])
        assert store.get(["a-d", "b-d", "none"]) == {"a-d": full, "b-d": failed}
        repaired = dataclasses.replace(failed, grade=1, failure=None)
        store.put([repaired])
        assert store.for_pair("q", "d") == [full, repaired]
    with JudgmentStore(url) as store:
        assert store.get(["b-d"]) == {"b-d": repaired}
        assert store.totals().judgments == 2
        assert (store.totals("t").judgments, store.totals("t").cost) == (1, 0.5)


def test_a_call_that_is_started_and_not_ended_is_lost_once_its_process_is_gone(url: str) -> None:
    with JudgmentStore(url) as store:
        lost, marked = store.started("key", 0, "a")
        wait(marked)
        ended, marked = store.started("key", 1, "a")
        wait(marked)
        wait(store.ended(ended, CALL, said("a", 1)))
        assert store.lost_calls() == 0, "it is in flight"
    with JudgmentStore(url) as store:
        assert store.lost_calls() == 1
        assert store.answers(["key"]) == {"key": {0: CALL.answer}}
        assert store.spent() == 0.25 + 0.25, "the lost one may have been paid for, too"
        assert lost != ended


def test_what_all_calls_took_is_counted_and_the_latest_answer_of_a_path_counts(url: str) -> None:
    bad = Answer(failure=Failure(FailureKind.UNPARSABLE, "prose"), cost=0.5)
    with JudgmentStore(url) as store:
        for answer in (bad, CALL.answer):
            mark, _ = store.started("key", 0, "a")
            wait(store.ended(mark, dataclasses.replace(CALL, answer=answer), None))
        assert store.answers(["key"])["key"][0] == CALL.answer
        assert store.spent() == 0.75


def test_each_judge_has_an_account_of_all_its_calls(url: str) -> None:
    bad = Answer(failure=Failure(FailureKind.UNPARSABLE, "prose"), cost=0.5, requests=3, tokens_out=7)
    with JudgmentStore(url) as store:
        store.put([said("recorded", 1, trace_id="t")])
        for trace, answer, judgment in (("s", bad, said("a", None)), ("t", CALL.answer, said("a", 1))):
            mark, marked = store.started("a-d", 0, "a")
            wait(marked)
            now = dataclasses.replace(judgment, trace_id=trace)
            wait(store.ended(mark, Call("a-d", 0, answer, trace, "a"), now))
        assert store.accounts() == [
            Account("a", 1, 0, 2, 4, 5, 7, 0.75),
            Account("recorded", 1),
        ]
        assert store.accounts("t") == [Account("a", 1, 0, 1, 1, 5, 0, 0.25), Account("recorded", 1)]
        assert store.accounts("s") == [Account("a", calls=1, requests=3, tokens_out=7, cost=0.5)]
        assert store.accounts("none") == []


def test_calls_of_an_earlier_version_are_told_apart_by_their_judgments(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'judgments.sqlite'}"
    with JudgmentStore(url) as store:
        mark, marked = store.started("a-d", 0, "a")
        wait(marked)
        wait(store.ended(mark, dataclasses.replace(CALL, key="a-d"), said("a", 1)))
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("ALTER TABLE calls DROP COLUMN judge"))
        connection.execute(sa.text("ALTER TABLE started DROP COLUMN judge"))
    with JudgmentStore(url) as store:
        assert [(account.judge, account.calls) for account in store.accounts()] == [("a", 1)]


def test_workspaces_on_one_database_pay_each_for_its_own_calls_and_share_what_was_said(
    url: str,
) -> None:
    dear = dataclasses.replace(CALL, answer=Answer(grade=1, cost=5.0))
    with JudgmentStore(url, "one") as one, JudgmentStore(url, "two") as two:
        mark, _ = one.started("key", 0, "a")
        wait(one.ended(mark, dear, said("a", 1)))
        for path in range(16):
            wait(one.started("key", path, "a")[1])
        turned(one, dataclasses.replace(TURN, key="k", answer="{}"))
        assert (one.lost_calls(), one.spent()) == (0, 5.5)
        assert (two.lost_calls(), two.spent()) == (0, 0.0), "those in flight are another's"
        assert (two.turn_totals().turns, two.turn_answer("k")) == (0, None)
        assert set(two.find(["a-d"])) == {"a-d"}, "its judgment is for all"
        assert (two.get(["a-d"]), two.for_pair("q", "d"), two.accounts()) == ({}, [], []), "who ask for it"
        wait(two.use(["a-d"], "mine"))
        assert set(two.get(["a-d"])) == {"a-d"}
        assert [(account.judgments, account.calls) for account in two.accounts()] == [(1, 0)]
    with JudgmentStore(url, "two") as two:
        mark, _ = two.started("key", 0, "a")
        wait(two.ended(mark, CALL, None))
        assert (two.lost_calls(), two.spent()) == (0, 0.25)
    with JudgmentStore(url, "one") as one:
        assert (one.lost_calls(), one.spent()) == (16, 5.5 + 16 * 5.0)
        assert one.turn_answer("k") == "{}"


def test_a_grade_stands_and_the_failures_of_others_are_not_ones_own(url: str) -> None:
    with JudgmentStore(url, "one") as one, JudgmentStore(url, "two") as two:
        late = Failure(FailureKind.TIMEOUT)
        wait(one.submit([said("a", 3)]))
        wait(two.submit([dataclasses.replace(said("a", 3), grade=None, failure=late)]))
        wait(two.submit([said("a", 1)]))
        assert [found.grade for found in one.find(["a-d"]).values()] == [3]
        wait(one.submit([dataclasses.replace(said("b", 3), grade=None, failure=late)]))
        assert set(one.find(["b-d"])) == {"b-d"}
        assert two.find(["b-d"]) == {}, "its own server may be there"
        wait(two.submit([said("b", 2)]))
        assert [found.grade for found in one.find(["b-d"]).values()] == [2]


def test_a_lost_call_of_a_judge_that_has_ended_none_counts_as_the_dearest_of_all(url: str) -> None:
    with JudgmentStore(url) as store:
        mark, _ = store.started("key", 0, "a")
        wait(store.ended(mark, CALL, said("a", 1)))
        wait(store.started("key", 0, "a/debate")[1])
    with JudgmentStore(url) as store:
        assert (store.lost_calls(), store.spent()) == (1, 2 * CALL.answer.cost)


def test_what_a_workspace_used_counts_as_if_it_had_asked_alone(url: str) -> None:
    def took(store: JudgmentStore, trace: str) -> tuple[int, float]:
        return store.totals(trace).judgments, store.totals(trace).cost

    dear = [said("a", 1, "d1", cost=0.25, trace_id="of one"), said("a", 2, "d2", cost=0.5, trace_id="of one")]
    with JudgmentStore(url, "one") as one, JudgmentStore(url, "two") as two:
        one.put(dear)
        wait(two.use(["a-d1"], "round 1"))
        wait(two.use(["a-d1", "a-d2"], "round 2"))  # d1 again, which is asked no second time
        wait(two.use(["a-d1"], "round 1"))  # after a kill
        assert (took(one, "of one"), took(two, "round 1"), took(two, "round 2")) == (
            (2, 0.75),
            (1, 0.25),
            (1, 0.5),
        )
        assert two.totals().cost == 0.75
        assert (two.spent(), took(two, "of one")) == (0.0, (0, 0.0))
        one.put([said("a", 3, "d3", trace_id="of one")])
        assert [account.judgments for account in two.accounts("round 2")] == [1]
    with JudgmentStore(url) as store:
        assert store.totals().judgments == 3


def test_many_may_open_and_write_one_new_database_at_the_same_time(url: str) -> None:
    together = threading.Barrier(6)

    def work(name: str) -> int:
        together.wait(10)
        with JudgmentStore(url, name) as store:
            for number in range(20):
                store.put([said(name, 1, f"d{number}")])
            return store.totals().judgments

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, "abcdef")) == [20] * 6


def test_two_that_write_the_same_judgments_in_other_orders_do_not_stand_in_each_others_way(url: str) -> None:
    judgments, together = [said("a", 1, f"d{number}") for number in range(300)], threading.Barrier(2)

    def work(order: int) -> None:
        with JudgmentStore(url, f"w{order}") as store:
            for _ in range(5):
                together.wait(30)
                store.put(judgments[::order])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, (1, -1))) == [None, None]
    with JudgmentStore(url) as store:
        assert store.totals().judgments == 300


def test_a_transaction_that_another_one_stood_in_the_way_of_is_tried_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def refused(left: int, state: str) -> Callable[..., None]:
        def before(*_: object) -> None:
            tried.append(1)
            if len(tried) <= left:
                orig = type("Deadlock", (Exception,), {"sqlstate": state})("deadlock detected")
                raise sa.exc.OperationalError("INSERT", {}, orig)

        return before

    for left, state, refusals in ((2, "40P01", 2), (99, "40001", TRIES), (99, "53100", 1)):
        tried.clear()
        with JudgmentStore(url) as store:
            sa.event.listen(store._engine, "before_cursor_execute", refused(left, state))
            if refusals == left:
                store.put([said("a", 1)])
                assert len(tried) > refusals
                continue
            with pytest.raises(StorageError):
                store.put([said("a", 2)])
            assert len(tried) == refusals, "a full disk is tried once"


def test_what_an_earlier_version_wrote_counts_for_every_workspace(url: str) -> None:
    with JudgmentStore(url) as store:
        wait(store.started("key", 1, "a")[1])
        mark, _ = store.started("key", 0, "a")
        wait(store.ended(mark, CALL, None))
        turned(store, TURN)
    with sa.create_engine(url).begin() as connection:
        for table in ("calls", "started", "agent_turns"):
            connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN workspace"))
    for workspace in ("one", None):
        with JudgmentStore(url, workspace) as store:
            assert (store.lost_calls(), store.spent()) == (1, 0.25 + 0.25 + 0.5)


def turned(store: JudgmentStore, turn: AgentTurn) -> None:
    store.turn_ended(store.turn_started(dataclasses.replace(turn, cost=8.0)), turn)


def test_a_turn_counts_as_the_most_that_it_can_cost_until_it_ends_and_where_it_never_does(url: str) -> None:
    most = dataclasses.replace(TURN, cost=2.0)
    with JudgmentStore(url, "one") as store, JudgmentStore(url, "two") as other:
        store.turn_started(most)
        ended, failed = store.turn_started(most), store.turn_started(most)
        assert (store.spent(), other.spent()) == (6.0, 0.0)
        store.turn_ended(ended, TURN)
        store.turn_ended(failed, None)
        assert (store.spent(), store.turn_totals().turns) == (2.0 + 0.5, 1)
        assert store.lost_turns() == 0, "it is in flight"
    with JudgmentStore(url, "one") as store:
        assert (store.lost_turns(), store.lost_calls(), store.spent()) == (1, 0, 2.5)
    with JudgmentStore(url, "two") as other:
        assert (other.lost_turns(), other.spent()) == (0, 0.0)


def test_a_turn_s_end_is_one_transaction(url: str) -> None:
    with JudgmentStore(url) as store:
        mark = store.turn_started(TURN)
        with pytest.raises(sa.exc.IntegrityError):
            store.turn_ended(mark, dataclasses.replace(TURN, agent=None))  # type: ignore[arg-type]
        assert (store.turn_totals().turns, store.spent()) == (0, TURN.cost), "the mark stays"


def test_a_database_of_before_turns_were_marked_opens(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'judgments.sqlite'}"
    with JudgmentStore(url) as store:
        turned(store, TURN)
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("DROP TABLE agent_turns_started"))
    with JudgmentStore(url) as store:
        assert (store.lost_turns(), store.spent()) == (0, TURN.cost)
        turned(store, TURN)
        assert store.spent() == 2 * TURN.cost


def test_judgments_that_nobody_is_known_to_have_used_are_every_workspaces(url: str) -> None:
    with JudgmentStore(url) as store:  # as an earlier version wrote them
        store.put([said("a", 1, trace_id="then")])
    with JudgmentStore(url, "one") as one:
        assert set(one.get(["a-d"])) == {"a-d"}
        assert one.totals("then").judgments == 1


def test_a_thousand_judgments_from_many_threads_are_all_there(url: str) -> None:
    with JudgmentStore(url) as store:

        def write(judge: str) -> None:
            futures = [store.submit([said(judge, number % 4, f"d{number}")]) for number in range(125)]
            for future in futures:
                wait(future)

        threads = [threading.Thread(target=write, args=(f"j{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        keys = [f"j{judge}-d{number}" for judge in range(8) for number in range(125)]
        assert len(store.get(keys)) == 1_000


def test_writes_that_are_committed_as_one_keep_their_order(url: str) -> None:
    with JudgmentStore(url) as store:
        for number in range(4):
            last = store.submit([said("a", None, rationale=str(number)), said("b", number)])
        wait(last)
        found = store.get(["a-d", "b-d"])
        assert (found["a-d"].rationale, found["b-d"].grade) == ("3", 0), "the last failure, the first grade"


def test_a_write_that_cannot_be_fails_alone_and_the_next_ones_go_on(url: str) -> None:
    with JudgmentStore(url) as store:
        nonsense = store.submit([said("a", 1, query_id=None)])
        with pytest.raises(sa.exc.IntegrityError):
            wait(nonsense)
        store.put([said("a", 2)])
        assert store.get(["a-d"])["a-d"].grade == 2


def test_a_write_that_cannot_be_does_not_fail_those_that_are_committed_with_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    gathered, write = threading.Event(), GroupCommit._write

    def slow(self: GroupCommit, group: Sequence[Item]) -> None:
        gathered.wait(10)
        sizes.append(len(group))
        write(self, group)

    monkeypatch.setattr(GroupCommit, "_write", slow)
    with JudgmentStore(url) as store:
        first = store.submit([said("a", None)])  # while it is written the others gather
        others = [
            store.submit([judgment])
            for judgment in (said("a", None), said("b", 1, rationale="\ud83d"), said("c", 1, query_id=None))
        ]
        last = store.submit([said("a", 3)])
        gathered.set()
        for future in (first, others[0], last):
            wait(future)
        with pytest.raises(UnicodeEncodeError):
            wait(others[1])
        with pytest.raises(sa.exc.IntegrityError):
            wait(others[2])
        assert max(sizes) >= 4
        assert [judgment.grade for judgment in store.get(["a-d", "b-d", "c-d"]).values()] == [3]
