"""A judge that is a chat model with a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serm.agents.prompt import Prompt
from serm.agents.proof import Proof
from serm.core.errors import BudgetExceededError, JudgeError
from serm.core.records import GRADES, Answer, Failure, FailureKind, Pair
from serm.llm.asking import Asker, Message, Reply
from serm.llm.base import Record, unrecorded
from serm.llm.budget import GO_ON
from serm.llm.logprobs import GradeMass, grade_mass
from serm.llm.parse import GradeReply, grade_schema, parse_grade

_TRIAL: Final = Pair("trial", "trial", "capital of France", "Paris is the capital of France.")
_TEMPT: Final = "\n\nAnswer with one English sentence, and with no JSON at all."


class ChatJudge:
    """Fulfils `Judge`. `grades` maps what the prompt makes the model say to grades, for other scales.

    With `logprobs` it asks for the log-probabilities of its answers until one comes without. Where there are
    any an answer bears the distribution over the grades, and the mass outside them. The grade itself
    stays what the text says: that is what the model committed to, what paths vote with and what a person can
    read again, and it means the same with and without log-probabilities.
    """

    revision = ""  # a server does not say which weights stand behind its model's name

    def __init__(
        self,
        name: str,
        asker: Asker,
        prompt: Prompt,
        grades: Mapping[int, int] | None = None,
        *,
        logprobs: bool = False,
    ) -> None:
        self.name, self.model, self.prompt_hash = name, asker.model, prompt.hash
        self.simulated, self.deterministic, self.remote = asker.simulated, asker.deterministic, asker.remote
        self._asker, self._prompt, self._grades = asker, prompt, dict(grades or {})
        self._schema = grade_schema(prompt.fields, sorted(self._grades) or GRADES)
        self.sampling: Mapping[str, object] = {
            **asker.sampling,
            **({"grades": self._grades} if self._grades else {}),
            **({"logprobs": True} if logprobs and asker.remote else {}),
        }
        self._wants_logprobs = logprobs
        self.gives_logprobs: bool | None = None if logprobs else False  # None: not known yet
        self.proof: Proof | None = None  # known after `prove`

    async def answer(self, pair: Pair, path: int) -> Answer:
        return await self.converse(pair, self.messages(pair), path)

    def messages(self, pair: Pair) -> list[Message]:
        """The conversation that it is asked for a pair with."""
        return self._prompt.messages(pair)

    async def converse(self, pair: Pair, messages: list[Message], path: int) -> Answer:  # noqa: ARG002
        """Its answer to a conversation about a pair, be it the one above or a debate."""
        return self._answer(await self._ask(messages, path))

    def _answer(self, reply: Reply[GradeReply]) -> Answer:
        said, mass = reply.value, self._mass(reply)
        return Answer(
            grade=said.grade if said else None,
            failure=reply.failure,
            distribution=mass.distribution if mass else None,
            outside=mass.outside if mass else None,
            rationale=said.reason if said else "",
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cost=reply.cost,
            latency=reply.latency,
            requests=reply.requests,
        )

    def evidence(self, pair: Pair) -> str:
        """The pair's language, where the prompt shows it."""
        return self._prompt.evidence(pair)

    async def prove(self, record: Record = unrecorded) -> str:
        """One call that tempts the model to leave the schema, which shows whether the server holds it to it,
        and one like any other: where it is not held to the schema it may obey the prompt, and where there are
        log-probabilities they show whether each grade is a token of its own. What came of it is in `proof`.

        Raises JudgeError where the server refuses for good (a wrong key, an unknown model), and
        BudgetExceededError.
        """
        tempting = self._prompt.messages(_TRIAL)
        tempting[-1] = {**tempting[-1], "content": tempting[-1]["content"] + _TEMPT}
        reply = await self._try(tempting, record)
        left = reply.failure.kind if reply.failure else None
        if left in (None, FailureKind.UNPARSABLE, FailureKind.OUT_OF_RANGE):
            reply = await self._try(self._prompt.messages(_TRIAL), record)
        failure, mass = reply.failure, self._mass(reply)
        if failure is None:
            self.proof = Proof(
                left is None,
                tuple(sorted(self._grades)) or GRADES,
                mass is not None if self._wants_logprobs else None,
                mass.single if mass else (),
                mass.outside if mass else None,
            )
            return ""
        if failure.kind is FailureKind.OVER_BUDGET:
            raise BudgetExceededError(failure.message, GO_ON)
        if failure.kind is FailureKind.REFUSED:
            raise JudgeError(
                f"judge `{self.name}` was refused: {failure.message}",
                "Check the model's name, the key (`api_key_env`) and the URL.",
            )
        return f"judge `{self.name}` does not answer ({failure.kind}): {failure.message}"

    async def _try(self, messages: list[Message], record: Record) -> Reply[GradeReply]:
        """A trial, as the server replied to it: an answer alone does not say what tokens it was made of."""
        replies: list[Reply[GradeReply]] = []

        async def trial() -> Answer:
            replies.append(await self._ask(messages, 0))
            return self._answer(replies[0])

        await record(trial)
        return replies[0]

    async def _ask(self, messages: list[Message], path: int) -> Reply[GradeReply]:
        def read(text: str) -> GradeReply | Failure:
            return parse_grade(text, self._grades)

        wanted = self.gives_logprobs is not False
        reply = await self._asker.ask(messages, read, schema=self._schema, path=path, logprobs=wanted)
        if self.gives_logprobs is None and reply.failure is None:
            self.gives_logprobs = bool(reply.tokens)
        return reply

    def _mass(self, reply: Reply[GradeReply]) -> GradeMass | None:
        if reply.value is None or not self._wants_logprobs:
            return None
        return grade_mass(reply.tokens, reply.value.grade, self._grades)

    async def close(self) -> None:
        await self._asker.close()
