"""Who goes when: the LangGraph state machines and the calls that run them (docs/python.md).

`from serm.graphs import annotate, evolve, mine, open_model, open_supervisor_graph, read_trace`
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from serm.graphs.annotation import Annotation, annotate
    from serm.graphs.in_use import open_model
    from serm.graphs.mine_window import Mined, mine
    from serm.graphs.questions import answer_question, pending_question
    from serm.graphs.reviewing import answer_review, pending_review
    from serm.graphs.run import (
        EvolutionResult,
        build_supervisor_graph,
        evolve,
        open_supervisor_graph,
        run_config,
        run_input,
    )
    from serm.graphs.traces import read_trace

__all__ = [
    "Annotation",
    "EvolutionResult",
    "Mined",
    "annotate",
    "answer_question",
    "answer_review",
    "build_supervisor_graph",
    "evolve",
    "mine",
    "open_model",
    "open_supervisor_graph",
    "pending_question",
    "pending_review",
    "read_trace",
    "run_config",
    "run_input",
]

_ELSEWHERE: Final = {
    "Annotation": "annotation",
    "Mined": "mine_window",
    "annotate": "annotation",
    "answer_question": "questions",
    "answer_review": "reviewing",
    "mine": "mine_window",
    "open_model": "in_use",
    "pending_question": "questions",
    "pending_review": "reviewing",
    "read_trace": "traces",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: torch, mlflow and langgraph take seconds, and `serm --help` needs none.
    if name in __all__:
        return getattr(import_module(f"serm.graphs.{_ELSEWHERE.get(name, 'run')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
