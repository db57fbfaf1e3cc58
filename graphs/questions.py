"""A question of the supervisor waits for a person, and the run waits with it.

From Python, a notebook for instance:

    question = pending_question(settings)        # None where nothing waits
    question.text                                # what is asked
    answer_question(settings, "no, that drift is a campaign", person="anna")       # None: no answer
    evolve(settings)                             # goes on, and the supervisor hears it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.types import interrupt

from serm.core.errors import WorkspaceError
from serm.core.hashing import digest
from serm.core.settings import Settings
from serm.storage.questions import Question, put_question, waiting_question
from serm.storage.trace import SpanKind, span
from serm.storage.workspace import Workspace

if TYPE_CHECKING:  # the loop's resources bring torch and mlflow in, which answering does without
    from serm.graphs.resources import Resources
    from serm.graphs.state import SupervisorState


def pending_question(settings: Settings) -> Question | None:
    """The question that the run waits for; None where none waits. Raises WorkspaceError where nothing was
    run."""
    found = waiting_question(Workspace.read(settings.workspace_path, settings).questions)
    return found[0] if found else None


def answer_question(settings: Settings, answer: str | None, *, person: str) -> Question:
    """Answer the question that waits, or (None) say that there is no answer. `evolve` goes on then.

    Raises WorkspaceError where no question waits.
    """
    question = pending_question(settings)
    if question is None:
        raise WorkspaceError(
            f"no question waits in {settings.workspace_path}.",
            "One does when `evolve` says that the supervisor asks something.",
        )
    question.settle(answer, person)
    return question


def question_of(resources: Resources, state: SupervisorState) -> Question:
    """Find or make the question that the state holds: the same one after a kill."""
    held = state["supervision"]
    key = digest([resources.trace_id(state["round"]), held["turns"], held["question"]])
    about = {
        "round": state["round"],
        "window": resources.window(state["round"]).name,
        "question": held["question"],
    }
    return put_question(resources.workspace.questions, key, about, resources.settings.evolution.rounds)


def wait_for_answer(resources: Resources, state: SupervisorState) -> None:
    """Interrupt the graph until the state's question is answered."""
    question = question_of(resources, state)
    if question.answer is None:
        interrupt(
            {
                "round": state["round"],
                "question": question.text,
                "folder": f"questions/{question.folder.name}",  # in the workspace
                "answer": "serm answer CONFIG, or serm.graphs.answer_question(settings, answer, person=...)",
            }
        )
    with span("human", SpanKind.AGENT, question=question.text) as current:
        said: dict[str, Any] = question.answer or {"answer": None, "person": "nobody"}
        current.attributes["policy"] = said["person"]
        current.outputs = said["answer"]
