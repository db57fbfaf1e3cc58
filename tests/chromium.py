"""A headless Chromium for tests of pages, spoken to by its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
PATIENCE = 90  # seconds until a browser has started, on a machine that does other things


def found() -> str | None:
    """The path of a browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class NotStartedError(Exception):
    """There is a browser, but it does not run here."""


class Page:
    """One tab. `events` are all that it told so far, the oldest first."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._sent = 0

    async def send(self, method: str, **values: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self._sent += 1
        await self.socket.send_json({"id": self._sent, "method": method, "params": values})
        while True:
            told = await self._receive()
            if told.get("id") == self._sent:
                assert "error" not in told, f"{method}: {told['error']}"
                result: dict[str, Any] = told["result"]
                return result

    async def open(self, file: Path) -> None:
        """Show a file, and wait until it is there."""
        await self.send("Page.navigate", url=file.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            await self._receive()
        self.events = [event for event in self.events if event["method"] != "Page.loadEventFired"]

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def media(self, kind: str, scheme: str) -> None:
        """`screen` or `print`, `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.send("Emulation.setEmulatedMedia", media=kind, features=features)

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        given = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        await self.send("Emulation.setDeviceMetricsOverride", **given)

    async def _receive(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((await self.socket.receive(timeout=PATIENCE)).data)
        if "method" in told:
            self.events.append(told)
        return told


@asynccontextmanager
async def browser(path: str, folder: Path) -> AsyncIterator[Page]:
    """A tab of a browser of its own, whose files lie in `folder`; ended when it is left."""
    quiet = asyncio.subprocess.DEVNULL
    given = (*OPTIONS, f"--user-data-dir={folder}", "about:blank")
    process = await asyncio.create_subprocess_exec(path, *given, stdout=quiet, stderr=quiet)
    try:
        port = await _port(folder / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json(content_type=None)
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.send(f"{domain}.enable")
                yield page
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    for _ in range(PATIENCE * 10):
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if lines:
            return int(lines[0])
        if process.returncode is not None:
            raise NotStartedError(f"it ended at once with code {process.returncode}")
        await asyncio.sleep(0.1)
    raise NotStartedError(f"it has not told its port in {PATIENCE} seconds")
