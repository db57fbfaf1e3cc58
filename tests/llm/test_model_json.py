"""What a model wrote is read with care: none of it raises, and all that is kept of it can be kept."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage

from serm.core import Failure, FailureKind
from serm.core.text import is_utf8, keepable
from serm.llm.asking import Turn
from serm.llm.langchain_messages import keepable_message, to_langchain
from serm.llm.model_json import read_json, try_json
from serm.llm.parse import REASON, GradeReply, parse_grade
from serm.llm.written_calls import written_turn

UNREADABLE = {
    "digits": "9" * 5_000,
    "depth": "[" * 99_999,
    "words": "none",
    "cut": '{"a": ',
    "twice": '{"a": 1, "a": 2}',
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain, é, 日本, 😀", "plain, é, 日本, 😀"),
        ("half \ud83d", "half \ufffd"),
        ("other half \ude00!", "other half \ufffd!"),
        ("\ud83d\ude00", "😀"),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_a_text_is_kept_as_it_is_or_as_near_to_it_as_can_be(text: str, kept: str) -> None:
    assert keepable(text) == kept
    assert is_utf8(kept)
    assert is_utf8(text) == (text == kept or "\0" in text)


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
        read_json(text)
    assert try_json(text) is None
    failure = parse_grade(f'{{"grade": {text}}}')
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.UNPARSABLE
    assert written_turn(text) == Turn(text)
    call = {"id": "1", "function": {"name": "look", "arguments": text}}
    (message,) = to_langchain([{"role": "assistant", "content": "", "tool_calls": [call]}])
    assert isinstance(message, AIMessage)
    assert message.tool_calls[0]["args"] == {"arguments": text}


def test_a_judge_that_changes_its_mind_within_an_answer_has_given_no_grade() -> None:
    failure = parse_grade('{"grade": 3, "reason": "no, wait", "grade": 0}')
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.UNPARSABLE


def test_of_a_reason_without_end_the_beginning_is_kept() -> None:
    told = parse_grade(json.dumps({"reason": "so " * 1_000_000, "grade": 2}))
    assert isinstance(told, GradeReply)
    assert told.grade == 2
    assert told.reason == ("so " * REASON)[:REASON]


def test_escapes_of_what_no_encoding_can_say_are_replaced_wherever_they_stand() -> None:
    assert read_json(r'{"a\ud83d": ["\u0000", {"b": "\ude00"}], "c": 1}') == {
        "a\ufffd": ["\ufffd", {"b": "\ufffd"}],
        "c": 1,
    }
    assert read_json(r'"\ud83d\ude00 \u00e9"') == "😀 é"
    assert parse_grade(r'{"grade": 2, "reason": "a \ud83d"}') == GradeReply(2, "a \ufffd")
    (call,) = written_turn(r'{"name": "look\ud83d", "arguments": {"for": "\u0000"}}').calls
    assert (call.name, json.loads(call.arguments)) == ("look\ufffd", {"for": "\ufffd"})


@pytest.mark.parametrize("name", ["null", "5", "[]", "{}"])
def test_a_written_call_without_a_name_is_no_call(name: str) -> None:
    text = f'{{"name": {name}, "arguments": {{}}}}'
    assert written_turn(text) == Turn(text)


def test_a_message_of_a_chat_model_is_kept_with_all_its_parts() -> None:
    call = {"name": "nominate", "args": {"reason": "half \ud83d", "count": 2}, "id": "1", "type": "tool_call"}
    said = AIMessage(
        [{"type": "text", "text": "a\0"}],
        tool_calls=[call],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    kept = keepable_message(said)
    assert kept.text == "a\ufffd"
    assert kept.tool_calls[0]["args"] == {"reason": "half \ufffd", "count": 2}
    assert kept.usage_metadata == said.usage_metadata
