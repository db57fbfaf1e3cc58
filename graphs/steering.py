"""What stops a run that was started from Python: a control, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from types import FrameType

from langgraph.runtime import RunControl

from serm.graphs.control import Control
from serm.graphs.panel_resources import PanelResources
from serm.llm.brake import StopRequestedError


@contextmanager
def steered(resources: PanelResources, control: RunControl | None = None) -> Iterator[None]:
    """In the block `control` stops what is asked of judges and agents, and so does Ctrl-C.

    Python raises KeyboardInterrupt in the main thread alone, and LangGraph then waits for its other threads,
    which would ask, and pay for, all that is left of the shards in their hands. So the calls in flight are
    given up first, as by `control.abort()`, and no further one is made in this block.
    Raises StopRequestedError where `control` gave the calls up, KeyboardInterrupt after a Ctrl-C.
    """
    interrupted = False

    def stop() -> bool:
        return interrupted or (control is not None and control.drain_requested)

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        resources.cancel_calls()

    resources.stop = stop
    if isinstance(control, Control):
        control.on_abort(resources.cancel_calls)
    try:
        with _before_interrupts(interrupt):
            yield
    except CancelledError as error:  # what waited for a call that was given up
        if isinstance(control, Control) and control.aborted:
            raise StopRequestedError from error
        raise


@contextmanager
def _before_interrupts(call: Callable[[], object]) -> Iterator[None]:
    """Have `call` called before Ctrl-C raises KeyboardInterrupt. Not where somebody handles it in a way of
    their own, as the command line does, and not in another thread than the main one, which may not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        call()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:  # else somebody has set another meanwhile
            signal.signal(signal.SIGINT, signal.default_int_handler)
