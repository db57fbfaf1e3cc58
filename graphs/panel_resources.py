"""What the annotator's nodes work with: judges, their judgments, traces; opened once, when first needed."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeVar, cast

import pandas as pd

from serm.agents.model_judge import OwnModel
from serm.agents.panel import Panel, open_panel
from serm.core.errors import ConfigError, JudgeError
from serm.core.hashing import digest
from serm.core.records import PairKey
from serm.core.settings import Settings
from serm.graphs.events import Listener, nobody
from serm.llm.brake import Brake
from serm.llm.purse import Purse
from serm.storage.judgments import JudgmentStore
from serm.storage.knowledge import Knowledge
from serm.storage.round_traces import begun_traces
from serm.storage.trace import Tracer
from serm.storage.workspace import Workspace

T = TypeVar("T")


class PanelResources(ABC):
    """A workspace and the panel that works in it, for one process at a time: the workspace is locked.

    What is judged, and what may be known of it, says the kind of work: a loop's rounds or a file of pairs.
    """

    def __init__(self, settings: Settings, workspace: Workspace, on_event: Listener = nobody) -> None:
        self.settings, self.emit = settings, on_event
        self.stop: Callable[[], bool] = lambda: False  # whether judges and agents are to be asked no more
        self._stack = ExitStack()
        self.workspace = self._stack.enter_context(workspace)
        self._panel: tuple[int, Panel] | None = None  # of the round in progress, and so with the tracer
        self._tracer: tuple[int, Tracer] | None = None
        self._knowledge: tuple[int, Knowledge] | None = None  # likewise, where a judge searches
        self._traces: dict[int, str] = {}
        self._made: dict[Hashable, tuple[Any, ...]] = {}
        self._brake = Brake(self._stops)
        self._lock = threading.RLock()
        self._making = threading.RLock()

    @abstractmethod
    def sample(self, name: str) -> pd.DataFrame:
        """The pairs that the panel is to label, by the sample's name: a pairs frame."""

    @abstractmethod
    def human_graded(self, number: int) -> pd.DataFrame:
        """Pairs with a human `grade` that the reliability rule may learn from in a round."""

    @abstractmethod
    def open_knowledge(self, number: int) -> Knowledge:
        """Open and fill what judges that are agents may search in a round; called where there is one."""

    @abstractmethod
    def truth(self, number: int) -> Mapping[PairKey, int] | None:
        """The grades that simulated judges are made from, and nobody else may see; None: there are none."""

    def own_model(self, number: int) -> OwnModel:
        """The model in use in a round, for a judge that grades by it. ConfigError where there is none."""
        del number
        raise ConfigError(
            "a judge grades by the model in use, and there is none here.", "Use it in `serm evolve`."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close judges, stores and traces, and free the workspace. Safe to call twice."""
        held = (self._panel, self._tracer, self._knowledge)
        self._panel, self._tracer, self._knowledge = None, None, None
        try:
            for item in held:
                if item is not None:
                    item[1].close()
        finally:
            self._stack.close()

    def on_close(self, call: Callable[[], object]) -> None:
        """Have `call` called before the workspace is freed."""
        self._stack.callback(call)

    @property
    def judgments(self) -> JudgmentStore:
        def open_store() -> JudgmentStore:
            store = JudgmentStore(self.workspace.judgments_url, self.workspace.payer)
            self._stack.callback(store.close)
            return store

        return self.once("judgments", open_store)

    @property
    def purse(self) -> Purse:
        """Pays for the turns of agents: one purse, for two would not know of each other's turns."""
        return self.once("purse", lambda: Purse(self.settings.budget.currency, self.judgments, self._brake))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The latest value made under `key`'s kind (its first part); parallel nodes wait for one another."""
        with self._making:
            kind = key[0] if isinstance(key, tuple) else key
            if self._made.get(kind, (None,))[0] != key:
                self._made[kind] = (key, make())
            return cast(T, self._made[kind][1])

    def panel(self, number: int) -> Panel:
        """The judges of a round."""
        with self._lock:
            if self._panel is None or self._panel[0] != number:
                if self._panel is not None:
                    self._panel[1].close()  # a panel holds a thread and connections: one at a time
                panel = open_panel(
                    self.settings,
                    self.truth(number),
                    knowledge=lambda: self.knowledge(number),
                    own=lambda: self.own_model(number),
                )
                panel.stop = self.stop
                self._panel = (number, panel)
            return self._panel[1]

    def knowledge(self, number: int) -> Knowledge:
        """What judges that are agents may search in a round."""
        with self._lock:
            if self._knowledge is None or self._knowledge[0] != number:
                if self._knowledge is not None:
                    self._knowledge[1].close()  # it is locked: one at a time
                    self._knowledge = None
                self._knowledge = (number, self.open_knowledge(number))
            return self._knowledge[1]

    def prove_judges(self, number: int) -> None:
        """Raises JudgeError where a judge of the round cannot do its work, BudgetExceededError where to see
        that could pass the budget. What it takes is in the ledger, under the round's trace."""
        proven = self.panel(number).prove(self.judgments, self.trace_id(number))
        faults = {name: fault for name, fault in proven.items() if fault}
        if faults:
            said = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
            raise JudgeError(f"the panel is not ready: {said}", "`serm doctor CONFIG` asks the judges again.")

    def before_asking(self, number: int, asking: Mapping[str, pd.DataFrame]) -> None:
        """Called before the judges are sent off to grade the frames `asking`, by their names."""
        del number, asking  # a loop has its judges proven before anything is mined for them

    def cancel_calls(self) -> None:
        """Give up the calls that are in flight, of judges (see `Panel.cancel`) and of agents, which then make
        no further ones. Safe to call from a signal's handler."""
        self._brake.cancel()
        if self._panel is not None:
            self._panel[1].cancel()

    def _stops(self) -> bool:
        """`stop` as it is by then: whoever sets it does so after this is made."""
        return self.stop()

    def rest_judges(self) -> None:
        """Have judges that hold the device leave it to others, until they are asked again."""
        if self._panel is not None:
            self._panel[1].rest()

    def trace_id(self, number: int) -> str:
        """The trace of a round: the same name in every process that works on it. One that has begun keeps it,
        whatever changes of the settings, or of what serm takes for deciding among them."""
        with self._lock:
            if number not in self._traces:
                named = digest([self.settings.fingerprint(), str(self.workspace.folder), "round", number])
                self._traces[number] = begun_traces(self.workspace).get(number, named)
            return self._traces[number]

    def tracer(self, number: int) -> Tracer:
        """Writes the spans of a round."""
        with self._lock:
            if self._tracer is None or self._tracer[0] != number:
                if self._tracer is not None:
                    self._tracer[1].close()
                self._tracer = number, Tracer(self.workspace.traces, self.trace_id(number))
            return self._tracer[1]

    @contextmanager
    def traced_round(self, number: int) -> Iterator[None]:
        """Spans opened inside belong to the round's trace, under its root span."""
        tracer = self.tracer(number)
        with tracer.active(parent=tracer.trace_id):
            yield
