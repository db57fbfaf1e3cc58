"""`search_knowledge`: what a judge that is an agent may look up before it grades.

A pure function over what a search found, and a thin tool over it for one pair: a query in, less than 2 KB of
JSON out. Labels of earlier rounds are few-shot evidence; passages show what else the stream holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, ConfigDict, Field

from serm.core.records import Pair
from serm.storage.knowledge import Found, Searchable, document_of
from serm.tools.result import LIMIT, result

NAME: Final = "search_knowledge"
_AROUND: Final = 90
"""Bytes of JSON around the texts of one thing found, at most (counted: keys, grade, outcome, similarity)."""
_MOST: Final = 12
"""Things that an answer shows: with more of them too little would be left of each (chosen: 39 bytes)."""


class SearchArguments(BaseModel):
    """Arguments of search_knowledge."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, description="what to look for, in a few words of any language")
    k: int | None = Field(None, ge=1, description="how many of each kind to find, at most")


@dataclass
class SearchDesk:
    """One conversation's access to the knowledge base: bound to its pair, and to so many searches."""

    knowledge: Searchable
    pair: Pair
    results: int  # of each kind, at most
    searches: int  # that it may make
    made: int = 0

    @property
    def left(self) -> int:
        return self.searches - self.made

    def search(self, query: str, k: int | None = None) -> str:
        """Raises ToolException where the searches are used up."""
        if not self.left:
            raise ToolException(f"you have made all your searches ({self.searches}). Grade the pair now.")
        found = self.knowledge.search(query, min(k or self.results, self.results), self.pair)
        self.made += 1
        return told(found, self.left, self.pair)

    @cached_property
    def tool(self) -> BaseTool:
        """The LangChain tool over this desk."""

        def call(**given: Any) -> str:
            return self.search(**given)

        return StructuredTool.from_function(
            call,
            name=NAME,
            description=(
                "Look up documents like those that you judge (passages), and query-document pairs that were "
                f"judged before, with their grade (judged_pairs). At most {self.searches} searches."
            ),
            args_schema=SearchArguments,
        )


def told(found: Found, left: int, pair: Pair) -> str:
    """What was found as JSON within `LIMIT` bytes; texts are cut so that each thing found keeps a share.

    It ends with the pair that is to be graded: small models grade what they have read last.
    """
    graded = found.judged[: max(_MOST // 2, _MOST - len(found.passages))]
    shown = found.passages[: _MOST - len(graded)]
    own = {"query": excerpt(pair.query, 100), "document": excerpt(document_of(pair), 200)}
    things = len(graded) + len(shown)
    free = LIMIT - 150 - sum(map(_size, own.values()))
    room = free // max(1, things) - _AROUND  # bytes of the texts of each thing found
    passages = [{"text": excerpt(item.text, room), "similarity": round(item.similarity, 2)} for item in shown]
    judged = [
        {
            "query": excerpt(item.query, room // 3),
            "document": excerpt(item.document, room - room // 3),
            "grade": item.grade,
            "outcome": item.outcome,
            "similarity": round(item.similarity, 2),
        }
        for item in graded
    ]
    return result({"passages": passages, "judged_pairs": judged, "searches_left": left, "grade_this": own})


def excerpt(text: str, size: int) -> str:
    """The start of a text within `size` bytes of JSON, in one line and whole words where there are some."""
    text = " ".join(text.split())
    if _size(text) <= size:
        return text
    cut = text
    while cut and _size(cut) > size - len("…".encode()):
        cut = cut[: len(cut) * 9 // 10]
    head, space, _ = cut.rpartition(" ")
    return f"{head if space and len(head) > len(cut) // 2 else cut}…"


def _size(text: str) -> int:
    """Bytes of a text inside JSON: quotes and backslashes take two."""
    return len(text.encode()) + text.count('"') + text.count("\\")
