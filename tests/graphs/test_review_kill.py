"""kill -9 around a review: no answer is lost, nothing is asked twice, and the end is that of a calm run."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.runtime import RunControl
from small_world import MLFLOW, world

from serm.core import Settings
from serm.core.hashing import unit_interval
from serm.core.records import PairKey
from serm.graphs import answer_review, pending_review
from serm.graphs.run import evolve
from serm.storage.reviews import Review

LIMIT = 3
KILLS = [("review", 1), ("answer", 2), ("review", 1), ("snapshot", 1)]
"""What is waited for in each life of the process, and how often; a moment later it is killed."""


def settings_in(folder: Path, encoder: Path) -> Settings:
    names = ("ann", "bob", "cid")
    config = world(
        folder,
        encoder,
        judges=[{"backend": "simulated:accuracy=0.7,shared=0.3,seed=3", "name": name} for name in names],
        agreement={"human_review": True, "review_limit": LIMIT},
        evolution={"rounds": 1},
        gate={"enabled": False},
        storage={"mlflow": f"sqlite:///{folder / MLFLOW}", "shared": str(encoder.parent / "shared")},
    )
    return Settings.from_mapping(config, folder=folder, environment={})


def opinion(key: PairKey) -> int:
    return int(4 * unit_interval("opinion", *key))


def live(folder: Path, encoder: Path, told: Connection) -> None:
    """What the killed process does: run, answer one pair after the other when asked, run on, to the end."""
    settings = settings_in(folder, encoder)
    while evolve(settings, on_event=lambda event: told.send((event.step, None))).waiting:
        review = pending_review(settings)
        assert review is not None
        for key in review.open():
            answer_review(settings, {key: opinion(key)}, reviewer="anna")
            told.send(("answer", (review.folder.name, tuple(key))))
            time.sleep(0.1)  # a person looks at the next one
    told.send(("the end", None))


def live_until(folder: Path, encoder: Path, step: str, times: int, delay: float) -> list[tuple[str, Any]]:
    """Let it live until it has told of a step so often, or ends; kill it a little later; what it has kept."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=live, args=(folder, encoder, theirs))
    process.start()
    theirs.close()
    kept: list[tuple[str, Any]] = []
    left = times
    try:
        while left:
            name, what = ours.recv()
            kept += [what] if what else []
            left = 0 if name == "the end" else left - (name == step)
    except EOFError:
        process.join()
        raise AssertionError(f"the loop ended with exit code {process.exitcode}") from None
    time.sleep(delay)
    process.kill()
    process.join()
    return kept


def final_state(settings: Settings, reports: Any) -> list[tuple[Any, ...]]:
    counted = ("asked", "answered", "skipped", "left", "grades", "reviewers")
    return [
        (r["labels"], r["snapshot"], r["decision"], r["evaluations"], [r["human"][name] for name in counted])
        for r in reports[1:]
    ]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_review_that_is_killed_again_and_again_ends_as_a_calm_one(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    multiprocessing.get_context("forkserver").set_forkserver_preload(["serm.graphs.run"])
    rng = np.random.default_rng(5)
    calm, hurt = (settings_in(tmp_path / name, tiny_encoder) for name in ("calm", "hurt"))
    while (result := evolve(calm)).waiting:
        waits = pending_review(calm)
        assert waits is not None
        answer_review(calm, {key: opinion(key) for key in waits.open()}, reviewer="anna")

    kept = 0
    for step, times in KILLS:
        for name, key in live_until(tmp_path / "hurt", tiny_encoder, step, times, rng.uniform(0, 0.05)):
            answers = Review(hurt.workspace_path / "reviews" / name).answers()
            assert answers[PairKey(*key)].grade == opinion(PairKey(*key))
            kept += 1
    assert kept
    while (ended := evolve(hurt)).waiting:
        waits = pending_review(hurt)
        assert waits is not None
        answer_review(hurt, {key: opinion(key) for key in waits.open()}, reviewer="anna")

    assert final_state(hurt, ended.rounds) == final_state(calm, result.rounds)
    for review in (hurt.workspace_path / "reviews").glob("*/"):
        assert len(Review(review).history()) == LIMIT  # nobody was asked twice


def test_a_stop_or_a_kill_at_the_worst_moments_costs_no_question_and_no_answer(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, tiny_encoder)
    control = RunControl()
    asked = evolve(
        settings,
        control=control,
        on_event=lambda e: control.request_drain() if e.step == "annotate" else None,
    )
    assert (asked.stop, asked.waiting) == ("", 0)  # a person who is not asked yet is not waited for

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    put_writes = SqliteSaver.put_writes

    def dies_at_the_interrupt(self: SqliteSaver, config: Any, writes: Any, *more: Any) -> None:
        if any(channel == "__interrupt__" for channel, _ in writes):
            dies()
        put_writes(self, config, writes, *more)

    with monkeypatch.context() as patch:  # the review is made, the interrupt is not
        patch.setattr(SqliteSaver, "put_writes", dies_at_the_interrupt)
        with pytest.raises(RuntimeError, match="killed"):
            evolve(settings)
    first = evolve(settings)
    assert first.waiting == LIMIT
    review = pending_review(settings)
    assert review is not None
    answer_review(settings, {key: opinion(key) for key in review.open()}, reviewer="anna")

    with monkeypatch.context() as patch:  # the answers are taken, the step's checkpoint is not written
        patch.setattr(SqliteSaver, "put", dies)
        with pytest.raises(RuntimeError, match="killed"):
            evolve(settings)
    assert review.closed
    done = evolve(settings)
    assert (done.waiting, done.stop) == (0, "all 1 rounds are done")
    assert done.rounds[1]["human"]["answered"] == LIMIT
    assert len(list((settings.workspace_path / "reviews").glob("*/review.json"))) == 1
