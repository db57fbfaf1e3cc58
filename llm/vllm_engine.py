"""Models that vLLM runs in this process: loaded once whoever asks, asleep while nobody does.

vLLM batches what is being asked at the same time by itself (continuous batching). So calls are handed over as
they come: none waits for the slowest of a batch, and one that fails fails alone.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import resource_tracker
from typing import Any, Final, TypeVar

from serm.core.errors import SermError
from serm.core.hashing import digest
from serm.llm.engine import Core, Said, StalledError, Wish

T = TypeVar("T")
_log = logging.getLogger(__name__)

PATIENCE: Final = 600.0
"""Seconds in which not one request of an engine has ended, after which it is taken for stuck (chosen). A time
limit for each would not do: where a shard is handed over at once, the last waits for all others."""
FAREWELL: Final = 30.0
"""Seconds that an engine is given to end with the process (chosen)."""


class Engine:
    """One model, loaded at the first request, on an event loop of its own that outlives the callers'."""

    def __init__(self, name: str, start: Callable[[], Core], patience: float = PATIENCE) -> None:
        self.name, self._start, self._patience = name, start, patience
        self._core: Core | None = None
        self._fault: SermError | None = None  # it could not be loaded, or has died
        self._asleep = self._told = False
        self._busy = 0  # requests
        self._moved = 0.0  # loop time at which a request last ended
        self._loop = asyncio.new_event_loop()
        self._lock = asyncio.Lock()  # of loading, sleeping and waking
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name=f"vllm {name}", daemon=True).start()

    async def generate(self, wish: Wish) -> Said:
        """An answer, from any event loop.

        Raises UnfitError, HiccupError, StalledError. Where the model cannot be loaded or its engine has died
        JudgeError or ConfigError, from then on always.
        """
        return await asyncio.wrap_future(self._submit(self._generate(wish)))

    def rest(self) -> None:
        """Leave the device to others until the next request; nothing where requests are being answered, or
        where the engine cannot sleep. Blocks until done; from any thread."""
        self._submit(self._rest()).result()

    def free(self) -> bool:
        """Sleep where it can; else shut down. True where it is asleep, and worth keeping."""
        return self._submit(self._free()).result()

    def shut_down(self) -> None:
        """Give everything back, for good."""
        with suppress(TimeoutError):  # its thread does not hold the process
            self._submit(self._stop()).result(FAREWELL)
        self._loop.call_soon_threadsafe(self._ended.set)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._ended.wait())

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _generate(self, wish: Wish) -> Said:
        self._busy += 1
        try:
            core = await self._ready()
            return await self._patiently(core.generate(wish))
        except SermError as error:
            self._fault = error
            raise
        finally:
            self._busy -= 1
            self._moved = self._loop.time()

    async def _ready(self) -> Core:
        """The core, loaded and awake."""
        async with self._lock:
            if self._fault is not None:
                raise self._fault
            if self._core is None:
                _keep_ctrl_c_to_us()
                self._core = self._start()  # blocks this loop, on which nothing else can be done yet
            elif self._asleep:
                await self._core.wake()
                self._asleep = False
            return self._core

    async def _patiently(self, work: Coroutine[Any, Any, T]) -> T:
        task, began = asyncio.ensure_future(work), self._loop.time()
        try:
            while not (await asyncio.wait({task}, timeout=self._patience))[0]:
                if self._loop.time() - max(began, self._moved) >= self._patience:
                    raise StalledError(f"no answer for {self._patience:g} seconds")
            return task.result()
        finally:
            task.cancel()

    async def _rest(self) -> None:
        async with self._lock:
            if self._core is None or self._busy or self._asleep:
                return
            if not self._core.sleeps:
                if not self._told:
                    _log.warning("vLLM cannot sleep on this device: %s keeps its memory.", self.name)
                self._told = True
                return
            try:
                await self._core.sleep()
                self._asleep = True
            except Exception as error:  # what matters is that the device is free; the next request loads anew
                _log.warning("the engine of %s did not fall asleep, and is shut down: %s", self.name, error)
                self._core.shut_down()
                self._core = None

    async def _free(self) -> bool:
        if self._core is not None and self._core.sleeps and self._fault is None:
            await self._rest()
            return self._asleep
        await self._stop()
        return False

    async def _stop(self) -> None:
        async with self._lock:
            core, self._core, self._asleep = self._core, None, False
            if core is not None:
                core.shut_down()


class Engines:
    """The engines of a process, by model and arguments: two copies of a model would not fit on a device."""

    def __init__(self, start: Callable[[str, Mapping[str, object]], Core]) -> None:
        self._start = start
        self._engines: dict[str, Engine] = {}
        self._users = Counter[str]()
        self._lock = threading.Lock()

    def borrow(self, model: str, arguments: Mapping[str, object]) -> Engine:
        """The engine of a model, to be given back; nothing is loaded yet."""
        with self._lock:
            if not self._engines:
                atexit.register(self.shut_down)
            key = digest([model, dict(arguments)])
            if key not in self._engines:
                self._engines[key] = Engine(model, lambda: self._start(model, arguments))
            self._users[key] += 1
            return self._engines[key]

    def give_back(self, engine: Engine) -> None:
        """One user less. Without users an engine sleeps, so that the next panel need not load it, and is shut
        down where it cannot."""
        with self._lock:
            key = next((key for key, known in self._engines.items() if known is engine), None)
            if key is None:
                return
            self._users[key] -= 1
            if self._users[key] == 0 and not engine.free():
                del self._engines[key]
                engine.shut_down()

    def rest(self) -> None:
        """Have all that are not being asked leave the device to others."""
        with self._lock:
            for engine in self._engines.values():
                engine.rest()

    def shut_down(self) -> None:
        """Shut all of them down, in use or not."""
        with self._lock:
            atexit.unregister(self.shut_down)
            for engine in self._engines.values():
                engine.shut_down()
            self._engines.clear()
            self._users.clear()


def _keep_ctrl_c_to_us() -> None:
    """Processes started from this thread inherit its mask, and do not hear Ctrl-C: calls in flight end in
    peace. Python's tracker of shared memory takes the mask off where it is only started later."""
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _start(model: str, arguments: Mapping[str, object]) -> Core:
    from serm.llm.vllm_start import start_core  # brings vLLM along

    return start_core(model, arguments)


ENGINES: Final = Engines(_start)
