"""A judge that is an agent: a chat model that may search before it grades.

Each reasoning path is a conversation of its own. The model may call `search_knowledge` some times, and ends
with `submit_grade`, or with the JSON object that any judge answers with. What it does wrong (an unknown tool,
arguments that do not fit, a search too many, prose) is told to it once; the second time its path fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from langchain_core.utils.function_calling import convert_to_openai_tool

from serm.agents.conversation import Conversation
from serm.agents.prompt import Prompt
from serm.agents.tool_calls import call_tool
from serm.core.errors import BudgetExceededError, JudgeError, StorageError
from serm.core.hashing import digest
from serm.core.records import GRADES, Answer, Failure, FailureKind, Pair
from serm.core.settings_loop import KnowledgeSettings
from serm.llm.asking import Asker, Converser, Message, ToolCall, Turn
from serm.llm.base import Record, unrecorded
from serm.llm.budget import GO_ON
from serm.llm.model_json import try_json
from serm.llm.parse import GradeReply, grade_schema, parse_grade
from serm.storage.knowledge import Searchable
from serm.tools import knowledge as searching
from serm.tools.knowledge import SearchDesk

SUBMIT: Final = "submit_grade"
PATIENCE: Final = 2
"""Turns that went wrong after which a path has failed."""
_TRIAL: Final = Pair("trial", "trial", "capital of France", "Paris is the capital of France.")
_URGE: Final = "\n\nFirst call search_knowledge with this query, then call submit_grade."


class AgentModel(Asker, Converser, Protocol):
    """A chat model that calls tools."""


class JudgeAgent:
    """Fulfils `Judge`. `grades` maps what the prompt makes the model say to grades, for other scales."""

    revision = ""  # a server does not say which weights stand behind its model's name

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        model: AgentModel,
        prompt: Prompt,
        knowledge: Searchable,
        limits: KnowledgeSettings,
        grades: Mapping[int, int] | None = None,
    ) -> None:
        self.name, self.model, self.prompt_hash = name, model.model, prompt.hash
        self.simulated, self.deterministic, self.remote = model.simulated, model.deterministic, model.remote
        self._asker, self._prompt, self._grades = model, prompt, dict(grades or {})
        self._knowledge, self._limits = knowledge, limits
        self._submit = _submit_tool(prompt, sorted(self._grades) or list(GRADES))
        self._search = convert_to_openai_tool(self._desk(_TRIAL).tool)
        self.sampling: Mapping[str, object] = {
            **model.sampling,
            **({"grades": self._grades} if self._grades else {}),
            "knowledge": limits.model_dump(mode="json"),
            "tools": digest([self._search, self._submit]),
        }

    async def answer(self, pair: Pair, path: int) -> Answer:
        """Raises BudgetExceededError where not even the first turn is within budget."""
        return await self.converse(pair, self.messages(pair), path)

    def messages(self, pair: Pair) -> list[Message]:
        """The conversation that it is asked for a pair with."""
        return self._prompt.messages(pair)

    def evidence(self, pair: Pair) -> str:
        """What may be found, which is the same for every pair, and the pair's language where it is shown."""
        found, shown = self._knowledge.version, self._prompt.evidence(pair)
        return digest([found, shown]) if shown else found

    async def prove(self, record: Record = unrecorded) -> str:
        """One conversation, and a second where it goes wrong: the model has to call a tool and to grade.

        Raises JudgeError where the server refuses for good (a wrong key, an unknown model), and
        BudgetExceededError.
        """
        urged = self._prompt.messages(_TRIAL)
        urged[-1] = {**urged[-1], "content": urged[-1]["content"] + _URGE}
        fault = ""
        for path in range(2):
            answer = await record(partial(self.converse, _TRIAL, urged, path))
            if answer.failure is not None and answer.failure.kind is FailureKind.OVER_BUDGET:
                raise BudgetExceededError(answer.failure.message, GO_ON)
            if answer.failure is not None and answer.failure.kind is FailureKind.REFUSED:
                raise JudgeError(
                    f"judge `{self.name}` was refused: {answer.failure.message}",
                    "Check the model, the key (`api_key_env`) and the URL, and that the server allows tools.",
                )
            called = any(not step.error for step in answer.steps if step.tool in (searching.NAME, SUBMIT))
            if called and answer.failure is None:
                return ""
            fault = _fault(answer, called=called)
        return f"judge `{self.name}` {fault}"

    async def close(self) -> None:
        await self._asker.close()

    async def converse(self, pair: Pair, messages: list[Message], path: int) -> Answer:
        """Its answer to a conversation about a pair, be it the one above or a debate; it may search."""
        talk, desk = Conversation(list(messages)), self._desk(pair)
        bad = 0
        while True:
            try:
                reply = await self._asker.turn(talk.messages, self._offered(desk), path=path)
            except BudgetExceededError as error:
                if not talk.requests:
                    raise
                return talk.failed(Failure(FailureKind.OVER_BUDGET, error.message))
            talk.count(reply)
            if reply.value is None:
                return talk.failed(reply.failure)
            said = await self._heed(reply.value, talk, desk)
            if isinstance(said, GradeReply):
                return talk.graded(said)
            bad += isinstance(said, Failure)
            if isinstance(said, Failure) and (bad == PATIENCE or said.kind is FailureKind.SERVER):
                return talk.failed(said)

    async def _heed(self, turn: Turn, talk: Conversation, desk: SearchDesk) -> GradeReply | Failure | None:
        """Do as a turn says: its grade, or the first thing that was wrong, or None where all was well."""
        calls = talk.hear(turn)
        if not calls:
            said = parse_grade(turn.text, self._grades)
            if isinstance(said, Failure):
                talk.rebuke(turn.text, f"{said.message}. Call {SUBMIT}, or answer with JSON alone.")
            return said
        wrong: Failure | None = None
        for call in calls:
            came = await self._run(call, talk, desk)
            if isinstance(came, GradeReply):
                return came
            wrong = wrong or came
        return wrong

    async def _run(self, call: ToolCall, talk: Conversation, desk: SearchDesk) -> GradeReply | Failure | None:
        if call.name == SUBMIT:
            said = parse_grade(call.arguments, self._grades)
            error = said.message if isinstance(said, Failure) else ""
            talk.answered(call, "" if error else "taken", error)
            return Failure(FailureKind.TOOL, f"{SUBMIT}: {error}") if isinstance(said, Failure) else said
        text, error = "", f"there is no tool {call.name}. You have {searching.NAME} and {SUBMIT}."
        if call.name == searching.NAME:
            tools, given = {call.name: desk.tool}, try_json(call.arguments)
            try:
                text, error = await asyncio.to_thread(call_tool, tools, call.name, given)
            except StorageError as failed:  # the path fails, and what it has cost so far is kept
                talk.answered(call, "", failed.message)
                return Failure(FailureKind.SERVER, failed.message)
        talk.answered(call, text, error)
        return Failure(FailureKind.TOOL, f"{call.name}: {error}") if error else None

    def _desk(self, pair: Pair) -> SearchDesk:
        return SearchDesk(self._knowledge, pair, self._limits.results, self._limits.searches)

    def _offered(self, desk: SearchDesk) -> list[dict[str, Any]]:
        """The tools, without the search once its searches are used up."""
        return [self._search, self._submit] if desk.left else [self._submit]


def _submit_tool(prompt: Prompt, values: list[int]) -> dict[str, Any]:
    function = {
        "name": SUBMIT,
        "description": "Hand in the grade of the pair. This ends your work on it.",
        "parameters": grade_schema(prompt.fields, values),
    }
    return {"type": "function", "function": function}


def _fault(answer: Answer, *, called: bool) -> str:
    if not called and answer.failure is None:
        return (
            "answers without calling a tool, so it can search nothing. Use a server that has its model call "
            "tools or hold to a JSON schema, or leave out `knowledge`."
        )
    assert answer.failure is not None
    what = "calls no tool" if not called else "calls tools and comes to no grade"
    return f"{what} ({answer.failure.kind}): {answer.failure.message}"
