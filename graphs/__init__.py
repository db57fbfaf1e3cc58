"""Who goes when: the LangGraph state machines and the calls that run them.

`from serm.graphs import annotate, build_supervisor_graph, evolve, open_model`
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from serm.graphs.annotation import Annotation, annotate
    from serm.graphs.in_use import open_model
    from serm.graphs.questions import answer_question, pending_question
    from serm.graphs.reviewing import answer_review, pending_review
    from serm.graphs.run import EvolutionResult, build_supervisor_graph, evolve, run_config

__all__ = [
    "Annotation",
    "EvolutionResult",
    "annotate",
    "answer_question",
    "answer_review",
    "build_supervisor_graph",
    "evolve",
    "open_model",
    "pending_question",
    "pending_review",
    "run_config",
]

_ELSEWHERE: Final = {
    "Annotation": "annotation",
    "annotate": "annotation",
    "answer_question": "questions",
    "answer_review": "reviewing",
    "open_model": "in_use",
    "pending_question": "questions",
    "pending_review": "reviewing",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: torch, mlflow and langgraph take seconds, and `serm --help` needs none.
    if name in __all__:
        return getattr(import_module(f"serm.graphs.{_ELSEWHERE.get(name, 'run')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
