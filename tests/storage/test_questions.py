"""What a person answers is kept, whatever a terminal makes of it."""

from __future__ import annotations

from pathlib import Path

from serm.storage.questions import put_question


def test_an_answer_with_a_byte_that_is_no_utf8_is_kept(tmp_path: Path) -> None:
    question = put_question(tmp_path, "key", {"round": 1, "window": "w", "question": "Go on?"}, None)
    question.settle("yes \udcff", "anna\udcff")
    assert question.answer is not None
    assert (question.answer["answer"], question.answer["person"]) == ("yes \ufffd", "anna\ufffd")
