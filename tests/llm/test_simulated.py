"""Simulated judges do what the protocol says of them, no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest

from serm.agents.panel import open_panel, pairs_of
from serm.core import FailureKind, Pair, PairKey, Settings
from serm.core.errors import ConfigError
from serm.llm.simulated import SimulatedJudge
from serm.storage.judgments import JudgmentStore

SettingsWith = Callable[..., Settings]
TRUTH = {PairKey(f"q{number}", f"d{number}"): number % 4 for number in range(20_000)}


def judges(shared: float, count: int = 3) -> list[SimulatedJudge]:
    return [
        SimulatedJudge(f"judge-{number}", TRUTH, accuracy=0.85, shared=shared, seed=7)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("shared", "kept", "right"),
    [(0.0, 0.615, 0.999), (0.3, 0.72, 0.938), (0.5, 0.79, 0.905), (0.8, 0.91, 0.867)],
)
def test_what_unanimity_of_three_keeps_is_what_the_protocol_says(
    shared: float, kept: float, right: float
) -> None:
    panel = judges(shared)
    unanimous = {
        key: grades.pop() for key in TRUTH if len(grades := {judge.grade(key).grade for judge in panel}) == 1
    }
    assert len(unanimous) / len(TRUTH) == pytest.approx(kept, abs=0.012)
    assert sum(grade == TRUTH[key] for key, grade in unanimous.items()) / len(unanimous) == pytest.approx(
        right, abs=0.008
    )


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_each_judge_is_right_as_often_as_stated_and_wrong_grades_are_uniform(shared: float) -> None:
    for judge in judges(shared, 2):
        answers = {key: judge.grade(key).grade for key in TRUTH}
        right = sum(answers[key] == TRUTH[key] for key in TRUTH) / len(TRUTH)
        assert right == pytest.approx(0.85, abs=0.01)
        wrong = [(answers[key] - TRUTH[key]) % 4 for key in TRUTH if answers[key] != TRUTH[key]]
        for step in (1, 2, 3):
            assert wrong.count(step) / len(wrong) == pytest.approx(1 / 3, abs=0.04)


def test_judges_that_share_all_errors_always_agree_and_another_seed_is_another_panel() -> None:
    one, two = judges(1.0, 2)
    other = SimulatedJudge("judge-0", TRUTH, accuracy=0.85, shared=1.0, seed=8)
    assert all(one.grade(key) == two.grade(key) for key in TRUTH)
    assert any(one.grade(key) != other.grade(key) for key in TRUTH)


def test_errors_of_a_path_are_mended_by_a_majority_of_paths_and_lasting_ones_are_not() -> None:
    judge = SimulatedJudge("judge-0", TRUTH, accuracy=0.8, shared=0.5, seed=7, path=0.5)
    assert not judge.deterministic
    paths = [{key: judge.grade(key, path).grade for key in TRUTH} for path in range(5)]
    for answers in paths:
        right = sum(answers[key] == TRUTH[key] for key in TRUTH) / len(TRUTH)
        assert right == pytest.approx(0.8, abs=0.012)
    most = {key: Counter(answers[key] for answers in paths).most_common(1)[0][0] for key in TRUTH}
    right = sum(most[key] == TRUTH[key] for key in TRUTH) / len(TRUTH)
    assert right == pytest.approx(0.8 + 0.25 * 0.2, abs=0.012)  # a quarter of all errors is the paths'
    assert judge.grade(PairKey("q1", "d1"), 3) == judge.grade(PairKey("q1", "d1"), 3)


def test_a_simulated_judge_says_the_same_again_and_nothing_where_the_truth_has_no_grade() -> None:
    judge = judges(0.5, 1)[0]
    first = [judge.grade(key) for key in list(TRUTH)[:100]]
    assert [judge.grade(key) for key in list(TRUTH)[:100]] == first
    answer = asyncio.run(judge.answer(Pair("new", "new", "", ""), 0))
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.MISSING


def test_simulated_is_marked_all_the_way_into_the_judgment(
    store: JudgmentStore, settings_with: SettingsWith
) -> None:
    frame = pd.DataFrame({"query_id": ["q1"], "doc_id": ["d1"], "query": ["q"], "text": ["t"]})
    with open_panel(settings_with(*["simulated:accuracy=0.85,shared=0.6"] * 3), TRUTH) as panel:
        assert panel.names == ("simulated-1", "simulated-2", "simulated-3")
        assert panel.simulated == panel.names
        for name in panel.names:
            panel.judge(name, pairs_of(frame), store)
        assert all(judgment.simulated for judgment in panel.judgments(frame, store))


def test_without_human_grades_there_is_no_simulated_judge(settings_with: SettingsWith) -> None:
    with pytest.raises(ConfigError, match="no human grades"):
        open_panel(settings_with("simulated:accuracy=0.9"))


class Sealed(Mapping[PairKey, int]):
    """Grades that nobody may read."""

    def __getitem__(self, key: PairKey) -> int:
        raise AssertionError("the seal was broken")

    def __iter__(self) -> Iterator[PairKey]:
        raise AssertionError("the seal was broken")

    def __len__(self) -> int:
        raise AssertionError("the seal was broken")


def test_the_truth_is_handed_to_nobody_but_simulated_judges(
    tmp_path: Path, store: JudgmentStore, settings_with: SettingsWith
) -> None:
    path = tmp_path / "judgments.csv"
    path.write_text("query_id,doc_id,judge,grade\nq1,d1,x,2\n")
    frame = pd.DataFrame({"query_id": ["q1"], "doc_id": ["d1"], "query": ["q"], "text": ["t"]})
    with open_panel(settings_with(f"replay:{path}#x"), Sealed()) as panel:
        assert panel.judge("x", pairs_of(frame), store).graded == 1
