"""The terminal in which a person grades what the panel dropped, pair by pair."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from serm.cli.format import clean, short
from serm.cli.review_keys import QUIT, Keys
from serm.core.records import PairKey
from serm.storage.reviews import HumanAnswer, Review

PAGE: Final = 1_200  # characters of a document on one page; chosen: a screen of 24 lines holds them
WORDS: Final = 600  # characters of a judge's reason
SCALE: Final = ("irrelevant", "related", "highly relevant", "perfectly relevant")
LEGEND: Final = "0-3 grade   s skip   m more text   n note   v votes   u undo   ? help   q quit"
HELP: Final = """\
How relevant is the document to the query?
  3  perfectly relevant: it is about the query and holds the whole answer, or is the very thing
  2  highly relevant: it answers in part, or the answer is not clear or hidden among other things
  1  related: it seems to be about the query and does not answer it
  0  irrelevant: it has nothing to do with the query
  s  skip: you cannot say; the pair stays without a label
  m  the next page of a long text, after the last the first again
  n  write a note that is kept with your answer to this pair
  v  show what the judges said; better grade first: who has seen a grade is drawn to it
  u  take your last answer back and see its pair again
  q  quit; every answer is kept, and the same command goes on"""


@dataclass
class _Shown:
    """The pair on the screen."""

    key: PairKey
    row: Mapping[str, Any]
    began: float = field(default_factory=time.monotonic)  # s
    page: int = 0
    note: str = ""
    votes: bool = False


class ReviewScreen:
    """`run()` asks until every pair has an answer or the person quits; an answer is kept when it is given."""

    def __init__(self, review: Review, console: Console, keys: Keys, reviewer: str, *, blind: bool) -> None:
        self._review, self._console, self._keys = review, console, keys
        self._reviewer, self._blind = reviewer, blind
        self._rows = review.rows()
        self._quit = False
        self._now: _Shown | None = None
        self._actions: Mapping[str, Callable[[_Shown], None]] = {
            **{str(grade): self._grade(grade) for grade in range(len(SCALE))},
            "s": self._grade(None),
            "m": self._more,
            "n": self._take_note,
            "v": self._show_votes,
            "u": self._undo,
            "?": self._help,
            "h": self._help,
            QUIT: self._leave,
        }

    def run(self) -> None:
        with self._keys:
            while not self._quit:
                still = self._review.open()  # anew each time: someone else may be answering as well
                if self._now is None and not still:
                    self._end()
                    continue
                shown = self._now or self._show(still[0])
                action = self._actions.get(self._keys.key().lower())
                if action is None:
                    self._say(LEGEND, "dim")
                else:
                    action(shown)

    def _end(self) -> None:
        """Every pair is answered: the last chance to take an answer back."""
        self._say("Every pair has an answer: u takes your last one back, any other key ends.")
        self._quit = self._keys.key().lower() != "u"
        if not self._quit:
            self._undo()

    # -- what a key does

    def _grade(self, grade: int | None) -> Callable[[_Shown], None]:
        def give(shown: _Shown) -> None:
            self._review.add(
                [
                    HumanAnswer(
                        *shown.key,
                        grade=grade,
                        reviewer=self._reviewer,
                        seconds=round(time.monotonic() - shown.began, 1),
                        note=shown.note,
                        saw_votes=shown.votes,
                    )
                ]
            )
            self._say("→ skipped" if grade is None else f"→ {grade} {SCALE[grade]}", "green")
            self._now = None

        return give

    def _more(self, shown: _Shown) -> None:
        shown.page = (shown.page + 1) % len(_pages(shown.row["text"]))
        self._text(shown)

    def _take_note(self, shown: _Shown) -> None:
        shown.note = self._keys.line("note: ").strip()
        self._say(f"noted: {shown.note}; now grade it" if shown.note else "no note", "dim")

    def _show_votes(self, shown: _Shown) -> None:
        shown.votes = True
        for said in json.loads(shown.row["votes"]):
            grade = "no answer" if said["grade"] is None else f"grade {said['grade']}"
            line = Text(f"  {said['judge']}: {grade}")
            if said.get("simulated"):
                line.append("  SIMULATED", style="bold red")
            self._console.print(line)
            if said["reason"]:
                self._say(f"    “{short(said['reason'], WORDS)}”", "dim")

    def _undo(self, _: _Shown | None = None) -> None:
        mine = [a for a in self._review.answers().values() if a.reviewer == self._reviewer]
        if not mine:
            self._say("there is nothing of yours to undo", "dim")
            return
        place = {answer.key: number for number, answer in enumerate(self._review.history())}
        last = max(mine, key=lambda answer: place[answer.key])
        undone = HumanAnswer(*last.key, grade=None, reviewer=self._reviewer, undone=True)
        self._review.add([undone])
        self._say("taken back", "yellow")
        self._show(last.key)

    def _help(self, _: _Shown) -> None:
        self._say(HELP)

    def _leave(self, _: _Shown) -> None:
        self._quit = True

    # -- what the person sees

    def _show(self, key: PairKey) -> _Shown:
        self._now = shown = _Shown(key, self._rows[key])
        asked = len(self._review.keys)
        done = asked - len(self._review.open())
        if self._console.is_terminal:
            self._console.clear()
        title = Text(clean(f"{done} of {asked} done   query {key.query_id}, document {key.doc_id}"))
        self._console.rule(title, align="left", characters="-")
        self._field("query", shown.row["query"])
        if shown.row["title"]:
            self._field("title", shown.row["title"])
        self._text(shown)
        if not self._blind:
            self._show_votes(shown)
        self._say(LEGEND, "dim")
        return shown

    def _text(self, shown: _Shown) -> None:
        pages = _pages(shown.row["text"])
        of = f" ({shown.page + 1}/{len(pages)})" if len(pages) > 1 else ""
        self._field("text" + of, pages[shown.page])

    def _field(self, name: str, text: str) -> None:
        self._console.print(
            Text(f"{name}  ", style="dim").append(clean(text), style="not dim"), highlight=False
        )

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, highlight=False)


def _pages(text: str) -> list[str]:
    """The text in pages that end between words where they can."""
    pages, rest = [], text
    while len(rest) > PAGE:
        cut = rest.rfind(" ", PAGE // 2, PAGE)
        cut = PAGE if cut < 0 else cut
        pages.append(rest[:cut] + " …")
        rest = "… " + rest[cut:].lstrip()
    return [*pages, rest]
