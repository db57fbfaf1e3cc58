"""What judges said, as a file that is replayed: whatever stands in a text, no row is another one's."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from test_peer_vote import said

from serm.core import Pair
from serm.llm.replay import ReplayJudge
from serm.storage.recording import recording, write_recording

TEXTS = ("first\rsecond", "a\r\nb", "a\nb", 'she said "2", then\r', "plain, with a comma")


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_a_recording_comes_back_whatever_its_texts_hold(tmp_path: Path, ending: str) -> None:
    judgments = [
        said("a", number % 4, f"d{number}", rationale=text, simulated=True)
        for number, text in enumerate(TEXTS)
    ]
    judgments.append(dataclasses.replace(judgments[0], query_id="q\r1", grade=3, paths=(3,)))
    file = tmp_path / f"said.{ending}"
    write_recording(recording(judgments), file)
    judge = ReplayJudge.open(file, "a")
    assert judge.simulated
    for judgment in judgments:
        pair = Pair(judgment.query_id, judgment.doc_id, "query", "text")
        answer = asyncio.run(judge.answer(pair, 0))
        assert (answer.grade, answer.rationale) == (judgment.grade, judgment.rationale)
