"""A process that is killed in the middle of its calls loses those in flight, and they are counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_stub import ChatStub, Say

from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.storage.judgments import JudgmentStore

CONCURRENCY = 4
PROGRAM = """
import json, sys
from serm.agents.panel import open_panel
from serm.core import Pair, Settings
from serm.storage.judgments import JudgmentStore
job = json.loads(sys.argv[1])
with JudgmentStore(job["store"]) as store, open_panel(Settings.from_mapping(job["settings"])) as panel:
    panel.judge("stub", [Pair(*pair) for pair in job["pairs"]], store)
"""


def answer_slowly(body: dict[str, Any], times: int) -> Say:
    return Say(json.dumps({"grade": len(body["messages"][-1]["content"]) % 4, "reason": ""}), after=0.03)


@pytest.mark.slow
def test_after_kill_9_no_recorded_judgment_is_asked_again_and_lost_calls_are_counted(
    stub: ChatStub, tmp_path: Path, pairs: Callable[..., list[Pair]]
) -> None:
    stub.play = answer_slowly
    url = f"sqlite:///{tmp_path / 'judgments.sqlite'}"
    everything = pairs(*(f"w{number}x{'y' * (number % 4)}" for number in range(60)))
    values = {
        "data": {"sources": [{"pairs": "pairs.parquet"}]},
        "judges": [f"{stub.url}#stub"],
        "llm": {"concurrency": CONCURRENCY},
        "agreement": {"paths": 3},  # two alike are enough: two calls a pair
    }
    texts = [[pair.query_id, pair.doc_id, pair.query, pair.text] for pair in everything]
    job = json.dumps({"settings": values, "store": url, "pairs": texts})

    for kill, calls in enumerate((17, 30), start=1):
        before = len(stub.bodies)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, job], env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        deadline = time.monotonic() + 60
        while len(stub.bodies) < before + calls and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with JudgmentStore(url) as store:
            assert 1 <= store.lost_calls() <= kill * CONCURRENCY
            assert 0 < store.totals().judgments < len(everything)

    sent = len(stub.bodies)
    with JudgmentStore(url) as store:
        recorded = [pair for pair in everything if store.for_pair(*pair.key)]
        lost = store.lost_calls()
        assert lost <= 2 * CONCURRENCY
        times_asked = {pair: stub.asked(f"{pair.text}") for pair in recorded}
        with open_panel(Settings.from_mapping(values)) as panel:
            report = panel.judge("stub", everything, store)
        assert report.graded == len(everything)
        assert report.recorded == len(recorded)
        assert {pair: stub.asked(pair.text) for pair in recorded} == times_asked
        assert store.lost_calls() == lost, "what is finished is not lost"
    assert sent <= len(stub.bodies) <= 2 * len(everything) + lost, "only lost calls are made twice"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where a shell started the tests in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_shard_keeps_what_was_answered(
    stub: ChatStub,
    store: JudgmentStore,
    settings_with: Callable[..., Settings],
    pairs: Callable[..., list[Pair]],
) -> None:
    """Ctrl-C in the main thread: the wait ends, the calls are cancelled, the panel closes at once."""
    stub.play = answer_slowly
    everything = pairs(*(f"w{number}" for number in range(200)))

    def interrupt() -> None:
        while stub.asked("") < 10:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with (
        pytest.raises(KeyboardInterrupt),
        open_panel(settings_with(f"{stub.url}#stub", llm={"concurrency": 2})) as panel,
    ):
        panel.judge("stub", everything, store)
    assert len(stub.bodies) < 50, "nothing goes on behind the user's back"
    assert 0 < store.totals().judgments <= len(stub.bodies)
