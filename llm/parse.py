"""A judge's text to a grade: a JSON object with a whole number, or a failure. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serm.core.records import GRADES, Failure, FailureKind
from serm.llm.model_json import read_json

REASON: Final = 4_000
"""Characters of a reason that are kept. It is stored with the judgment and, in a debate, told to other
judges, whose context a judge that writes without end may not fill. Chosen."""
_FENCED: Final = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GradeReply:
    """What a judge's text says; of a reason the first `REASON` characters."""

    grade: int
    reason: str = ""


def grade_schema(fields: Sequence[str], values: Sequence[int]) -> dict[str, Any]:
    """JSON schema of an answer: `fields` of grade and reason, in the order in which they are to be written;
    `values` are those that the judge may give."""
    known = {"grade": {"type": "integer", "enum": list(values)}, "reason": {"type": "string"}}
    return {
        "type": "object",
        "properties": {name: known[name] for name in fields},
        "required": list(fields),
        "additionalProperties": False,
    }


def parse_grade(text: str, grades: Mapping[int, int] | None = None) -> GradeReply | Failure:
    """The grade in a judge's text. `grades` maps its values to ours; one it does not name is out of range.

    A text that is one fenced code block is read as what is in the fence: some servers that ignore the schema
    put one around it. Everything else beside the object makes it unparsable.
    """
    fenced = _FENCED.match(text.strip())
    try:
        value = read_json(fenced.group(1) if fenced else text)
    except ValueError:
        return Failure(FailureKind.UNPARSABLE, f"no JSON: {_short(text)}")
    number = value.get("grade") if isinstance(value, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        return Failure(FailureKind.UNPARSABLE, f"no whole number under `grade`: {_short(text)}")
    grade = grades.get(number) if grades else number
    if grade not in GRADES:
        return Failure(FailureKind.OUT_OF_RANGE, f"grade {number}")
    reason = value.get("reason", "")
    return GradeReply(grade, reason[:REASON] if isinstance(reason, str) else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 120 else text[:117] + "...")
