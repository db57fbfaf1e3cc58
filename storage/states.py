"""Hidden states of texts on disk: what a transformer's lower layers made of each, token by token.

A folder per key (what those layers' weights, the length limit and the precision make) holds segments,
written once and whole: `NAME.npy`, rows of float16, and `NAME.json`, which text's rows lie where. The `.json`
comes last, so a segment that a kill cut off is not seen. Two processes may write the same text; either copy
will do. A segment is open while it is read and no longer: there may be more of them than a process may open.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from serm.core.errors import StorageError
from serm.storage.artifacts import write_file
from serm.storage.room import Room, room_of

States = NDArray[np.float16]
"""(tokens, d)"""
GIB: Final = 2**30
_OPENING: Final = threading.Lock()
_OPEN: Final[WeakValueDictionary[Path, StateStore]] = WeakValueDictionary()
"""By their folders: a process reads an index once, however many models it has open."""


def open_states(root: Path | None, key: str, limit: int) -> StateStore:
    """The states of a key, one store in a process. All keys of `root` have `limit` bytes of disk together;
    without a root they are kept in memory, each key's up to `limit`."""
    if root is None:
        return StateStore(None, Room(limit))
    place = root.resolve() / key
    with _OPENING:
        room = room_of(place.parent, limit)
        store = _OPEN.get(place) or StateStore(place, room)
        _OPEN[place] = store
        return store


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where the states of a text are."""

    segment: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class _Segment:
    """Rows of d numbers that begin at a place in a file; or rows in memory."""

    d: int
    start: int  # bytes
    block: States | None = None


class StateStore:
    """States by text hash, as long as there is room: what no longer fits is not kept, and no error."""

    def __init__(self, folder: Path | None, room: Room) -> None:
        """`StateStore(None, room)` keeps them in memory alone."""
        self.folder, self.room = folder, room
        self._where: dict[bytes, _Rows] = {}
        self._segments: dict[str, _Segment] = {}
        self._lock = threading.RLock()
        self.refresh()

    def get(self, hashes: Sequence[bytes]) -> list[States | None]:
        """The states of n texts, None where they are not kept. Not to be changed."""
        with self._lock:
            if any(item not in self._where for item in hashes):
                self.refresh()
            found: list[States | None] = [None] * len(hashes)
            wanted: dict[str, dict[int, _Rows]] = defaultdict(dict)
            for position, item in enumerate(hashes):
                if (rows := self._where.get(item)) is not None:
                    wanted[rows.segment][position] = rows
            for name, places in wanted.items():
                for position, state in self._read(name, places).items():
                    found[position] = state
            return found

    def missing(self, hashes: Sequence[bytes]) -> list[int]:
        """The positions of those of n texts whose states are not kept, without reading any."""
        with self._lock:
            self.refresh()
            return [position for position, item in enumerate(hashes) if item not in self._where]

    def put(self, hashes: Sequence[bytes], states: Sequence[States]) -> None:
        """Keep the states of n texts, as far as there is room (see `Room`); a full disk keeps none."""
        with self._lock:
            fitting = self.room.take_first([state.nbytes for state in states])
            if not fitting:
                return
            index = [(item.hex(), len(state)) for item, state in zip(hashes, states, strict=True)][:fitting]
            name, block = uuid.uuid4().hex, np.concatenate(states[:fitting])
            if self.folder is None:
                self._take(name, index, _Segment(block.shape[1], 0, block))
                return
            try:
                self._write(name, index, block)
            except StorageError:  # a cache that cannot grow is no reason to stop
                self.room.give(block.nbytes)
                return
            self._take(name, index, _segment(self.folder / f"{name}.npy"))

    def refresh(self) -> None:
        """Take in the segments that others have written since the last look."""
        if self.folder is None or not self.folder.is_dir():
            return
        with self._lock:
            there = sorted(file for file in self.folder.glob("*.json") if not file.name.startswith("."))
            fresh = [file for file in there if file.stem not in self._segments]
            for file in fresh:
                with contextlib.suppress(OSError, ValueError):  # just removed, or cut short
                    index = json.loads(file.read_text(encoding="utf-8"))
                    self._take(file.stem, index, _segment(file.with_suffix(".npy")))
            if fresh:
                self.room.look()

    def _write(self, name: str, index: list[tuple[str, int]], block: States) -> None:
        assert self.folder is not None
        write_file(self.folder / f"{name}.npy", lambda temporary: np.save(temporary, block))
        text = json.dumps(index)
        write_file(self.folder / f"{name}.json", lambda temporary: _write_text(temporary, text))

    def _take(self, name: str, index: Sequence[Sequence[object]], segment: _Segment) -> None:
        self._segments[name] = segment
        first = 0
        for item, count in index:
            self._where[bytes.fromhex(str(item))] = _Rows(name, first, int(str(count)))
            first += int(str(count))

    def _read(self, name: str, wanted: Mapping[int, _Rows]) -> dict[int, States]:
        """By position; nothing of a segment that is no longer there."""
        segment = self._segments[name]
        if segment.block is not None:
            block = segment.block
            return {place: block[rows.first : rows.first + rows.count] for place, rows in wanted.items()}
        assert self.folder is not None
        try:
            with (self.folder / f"{name}.npy").open("rb") as file:
                return {place: _rows_of(file, segment, rows) for place, rows in wanted.items()}
        except (OSError, ValueError):  # removed, or cut short: the text is read anew
            return {}


def _segment(file: Path) -> _Segment:
    """From what numpy wrote before the rows. Raises OSError and ValueError."""
    with file.open("rb") as opened:
        np.lib.format.read_magic(opened)
        shape, _, _ = np.lib.format.read_array_header_1_0(opened)
        return _Segment(shape[1], opened.tell())


def _rows_of(file: IO[bytes], segment: _Segment, rows: _Rows) -> States:
    file.seek(segment.start + rows.first * segment.d * 2)
    numbers = np.frombuffer(file.read(rows.count * segment.d * 2), dtype=np.float16)
    return numbers.reshape(rows.count, segment.d)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
