"""What a document, a judge or a server says cannot steer the terminal that it is shown in."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType
from test_pair_story import ANN

from serm.cli.errors import report
from serm.cli.format import clean, short
from serm.cli.pair_facts import PairFacts
from serm.cli.pair_story import story
from serm.cli.trace_tree import render_tree
from serm.core.errors import JudgeError
from serm.core.records import PairKey
from serm.storage.span_tree import build_tree
from serm.storage.trace import Span, SpanKind

CLEAR, CLIPBOARD, TITLE, CSI = "\x1b[2J", "\x1b]52;c;cm0gLXJmIH4=\x1b\\", "\x1b]0;owned\x07", "\x9b2J"
ODD = f"nice{CLEAR}{CLIPBOARD}{TITLE}{CSI} words"


def shown(*items: RenderableType) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, emoji=False, soft_wrap=True)
    for item in items:
        console.print(item)
    return out.getvalue()


def harmless(text: str) -> bool:
    return (
        "nice" in text and "words" in text and all(letter.isprintable() or letter == "\n" for letter in text)
    )


def test_texts_are_shown_without_what_is_not_printed() -> None:
    assert harmless(clean(ODD))
    assert harmless(short(ODD, 100))
    assert clean("one\ntwo") == "one\ntwo"
    assert short("हिन्दी 灯 naïve", 100) == "हिन्दी 灯 naïve"


def test_a_pairs_story_is_harmless() -> None:
    row = {"query": ODD, "title": ODD, "text": ODD, "language": ODD}
    judgment = replace(ANN, judge=ODD, rationale=ODD)
    facts = PairFacts(PairKey(ODD, ODD), row, (ODD,), (), (judgment,))
    assert harmless(shown(*story(facts)))


def test_a_rounds_tree_is_harmless() -> None:
    def under(name: str, kind: SpanKind, **fields: object) -> Span:
        return replace(Span("t", name, "t", name, kind, 1, {}, ended=2), **fields)  # type: ignore[arg-type]

    spans = [
        Span("t", "t", None, "round 1", SpanKind.ROUND, 0, {}, ended=5),
        under(ODD, SpanKind.TOOL, inputs={ODD: ODD}, outputs=ODD),
        under("m", SpanKind.MODEL, outputs={"text": ODD, "tool_calls": [{"name": ODD, "args": {ODD: ODD}}]}),
        under("c", SpanKind.CALL, error=ODD),
        under("a", SpanKind.AGENT, attributes={"policy": ODD, "fell_back": True, "reason": ODD}),
        under("w", SpanKind.NODE, attributes={"waits": [{"question": ODD}]}),
    ]
    assert harmless(shown(render_tree(build_tree(spans))))


def test_an_error_that_quotes_a_server_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    report(JudgeError(f"it answered: {ODD}", f"Ask {ODD}\nagain."), ["evolve"])
    told = capsys.readouterr().err
    assert harmless(told)
    assert told.count("\n") == 3
