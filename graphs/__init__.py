"""Who goes when: the LangGraph state machines and the calls that run them.

`from serm.graphs import build_supervisor_graph, evolve`
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serm.graphs.run import EvolutionResult, build_supervisor_graph, evolve, run_config

__all__ = ["EvolutionResult", "build_supervisor_graph", "evolve", "run_config"]


def __getattr__(name: str) -> Any:
    # Imported when first used: torch, mlflow and langgraph take seconds, and `serm --help` needs none.
    if name in __all__:
        from serm.graphs import run as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
