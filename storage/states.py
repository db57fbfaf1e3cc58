"""Hidden states of texts on disk: what a transformer's lower layers made of each, token by token.

A folder per key (what those layers' weights, the length limit and the precision make) holds segments,
written once and whole: `NAME.npy`, rows of float16, and `NAME.json`, which text's rows lie where. The `.json`
comes last, so a segment that a kill cut off is not seen. Two processes may write the same text; either copy
will do.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.core.errors import StorageError
from serm.storage.artifacts import write_file

States = NDArray[np.float16]
"""(tokens, d)"""
GIB: Final = 2**30


class StateStore:
    """States by text hash, up to `limit` bytes: what no longer fits is not kept, and no error.

    `StateStore(None, limit)` keeps them in memory alone.
    """

    def __init__(self, folder: Path | None, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._where: dict[bytes, tuple[str, int, int]] = {}  # text hash -> segment, first row, rows
        self._segments: dict[str, States] = {}
        self._bytes = 0
        self._lock = threading.RLock()
        self.refresh()

    def get(self, hashes: Sequence[bytes]) -> list[States | None]:
        """The states of n texts, None where they are not kept. Read-only views; a row is read when used."""
        with self._lock:
            if any(item not in self._where for item in hashes):
                self.refresh()
            return [self._one(item) for item in hashes]

    def put(self, hashes: Sequence[bytes], states: Sequence[States]) -> None:
        """Keep the states of n texts, as far as there is room; a full disk keeps none of them."""
        with self._lock:
            rows: list[States] = []
            index: list[tuple[str, int]] = []
            room = self.limit - self._bytes
            for item, state in zip(hashes, states, strict=True):
                room -= state.nbytes
                if room < 0:
                    break
                rows.append(state)
                index.append((item.hex(), len(state)))
            if not rows:
                return
            name, block = uuid.uuid4().hex, np.concatenate(rows)
            if self.folder is None:
                self._take(name, index, block)
                return
            with contextlib.suppress(StorageError):  # a cache that cannot grow is no reason to stop
                self._write(name, index, block)
                self._take(name, index, np.load(self.folder / f"{name}.npy", mmap_mode="r"))

    def refresh(self) -> None:
        """Take in the segments that others have written since the last look."""
        if self.folder is None or not self.folder.is_dir():
            return
        with self._lock:
            for file in sorted(self.folder.glob("*.json")):
                if file.stem not in self._segments:
                    block = np.load(file.with_suffix(".npy"), mmap_mode="r")
                    self._take(file.stem, json.loads(file.read_text(encoding="utf-8")), block)

    def _write(self, name: str, index: list[tuple[str, int]], block: States) -> None:
        assert self.folder is not None
        write_file(self.folder / f"{name}.npy", lambda temporary: np.save(temporary, block))
        text = json.dumps(index)
        write_file(self.folder / f"{name}.json", lambda temporary: _write_text(temporary, text))

    def _take(self, name: str, index: Sequence[Sequence[object]], block: States) -> None:
        self._segments[name] = block
        self._bytes += block.nbytes
        first = 0
        for item, count in index:
            self._where[bytes.fromhex(str(item))] = (name, first, int(str(count)))
            first += int(str(count))

    def _one(self, item: bytes) -> States | None:
        if item not in self._where:
            return None
        name, first, count = self._where[item]
        return self._segments[name][first : first + count]


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
