"""The supervisor's tools: what comes next in a round. Each is a wish; the graph's nodes do the work.

A tool checks that its step fits where the round stands and what the limits leave, and notes it at the desk.
There is none that promotes: that is the gate's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, ConfigDict, Field

from serm.tools.result import result

NEXT: Final[Mapping[str, str]] = {
    "opened": "mine",
    "mined": "annotate",
    "labelled": "retrain",
    "trained": "evaluate",
}
"""How far a round has come, and the step that the rules take from there."""

AFTER: Final[Mapping[str, str]] = {"mine": "mined", "annotate": "labelled", "retrain": "trained"}
"""How far a round has come after a step; the other steps leave it where it is."""

_FITS: Final[Mapping[str, tuple[str, ...]]] = {
    "mine": ("opened", "mined"),
    "annotate": ("mined",),
    "retrain": ("labelled",),
    "evaluate": ("trained",),
}
_STANDS: Final[Mapping[str, str]] = {
    "opened": "nothing is mined yet",
    "mined": "a sample is mined and not labelled",
    "labelled": "the sample is labelled and no challenger is trained",
    "trained": "a challenger is trained and not evaluated",
}


@dataclass
class RoundDesk:
    """Where a round stands, what its limits leave, and what was decided."""

    phase: str = "opened"  # a key of NEXT
    pairs: int = 0  # that the round may send to the judges, at most
    questions: int = 0  # that a person may still be asked; 0 where nobody may be asked at all
    act: str = ""  # the step that was decided; "" while none is
    given: dict[str, Any] = field(default_factory=dict)  # its arguments

    def decide(self, act: str, **given: Any) -> str:
        """Note a step. Raises ToolException where it does not fit where the round stands."""
        if self.phase not in _FITS.get(act, tuple(NEXT)):
            stands, following = _STANDS[self.phase], NEXT[self.phase]
            raise ToolException(f"{act} does not fit here: {stands}. What can come next is {following}.")
        self.act, self.given = act, given
        return result({"next": act, **given})


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Mine(Arguments):
    pairs: int | None = Field(None, ge=1, description="pairs to choose; left out: all that the limits allow")


class Nothing(Arguments):
    pass


class AskPerson(Arguments):
    question: str = Field(min_length=1, max_length=500, description="one question that a person can answer")


class Stop(Arguments):
    reason: str = Field(min_length=1, max_length=300, description="why a further round is not worth it")


def mine(desk: RoundDesk, pairs: int | None) -> str:
    """Have the miner choose pairs of this window for the judges. Until they are labelled it can be done
    again; the later sample counts."""
    wanted = desk.pairs if pairs is None else pairs
    if wanted > desk.pairs:
        raise ToolException(f"{wanted} pairs are more than a round may send to the judges: {desk.pairs}.")
    return desk.decide("mine", pairs=wanted)


def annotate(desk: RoundDesk) -> str:
    """Have the panel of judges label the sample. This is what costs money."""
    return desk.decide("annotate")


def retrain(desk: RoundDesk) -> str:
    """Train a challenger on this round's labels, those of earlier rounds and the seed."""
    return desk.decide("retrain")


def evaluate(desk: RoundDesk) -> str:
    """Hand the challenger to the gate, which alone decides whether it is promoted. This ends the round."""
    return desk.decide("evaluate")


def ask_person(desk: RoundDesk, question: str) -> str:
    """Ask a person what no tool can tell. The run waits until they answer, perhaps for days."""
    if desk.questions < 1:
        raise ToolException("nobody can be asked (any more) in this round. Decide by yourself.")
    return desk.decide("ask_person", question=_readable(question))


def stop(desk: RoundDesk, reason: str) -> str:
    """End the run, where a further round is not worth what it costs. Labels that are paid for are trained on
    and evaluated first."""
    return desk.decide("stop", reason=_readable(reason))


def _readable(text: str) -> str:
    """On one line and without control characters: it is printed on a person's terminal."""
    return " ".join("".join(sign for sign in text if sign.isprintable() or sign.isspace()).split())


TOOLS: Final[Mapping[str, tuple[Callable[..., str], type[Arguments]]]] = {
    "mine": (mine, Mine),
    "annotate": (annotate, Nothing),
    "retrain": (retrain, Nothing),
    "evaluate": (evaluate, Nothing),
    "ask_person": (ask_person, AskPerson),
    "stop": (stop, Stop),
}


def supervisor_tools(desk: RoundDesk, *, asking: bool = True) -> list[BaseTool]:
    """LangChain tools over a desk; `ask_person` is among them where `asking`."""
    return [_tool(desk, name, *TOOLS[name]) for name in TOOLS if asking or name != "ask_person"]


def _tool(desk: RoundDesk, name: str, function: Callable[..., str], schema: type[Arguments]) -> BaseTool:
    def call(**given: Any) -> str:
        return function(desk, **given)

    return StructuredTool.from_function(
        call, name=name, description=" ".join((function.__doc__ or name).split()), args_schema=schema
    )
