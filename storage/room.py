"""How much of a folder's share of the disk is left, for all in a process that write into it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

_OPENING: Final = threading.Lock()
_ROOMS: Final[WeakValueDictionary[Path, Room]] = WeakValueDictionary()


class Room:
    """`limit` bytes, of which some are taken. Of a folder: those of its arrays, one folder down."""

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self.limit, self._folder = limit, folder
        self._taken = 0
        self._lock = threading.Lock()
        self.look()

    def take(self, count: int) -> bool:
        """Whether there is room for so many bytes, which are then taken."""
        with self._lock:
            fits = self._taken + count <= self.limit
            self._taken += count if fits else 0
            return fits

    def give(self, count: int) -> None:
        """Give bytes back that were taken and not written."""
        with self._lock:
            self._taken -= count

    def look(self) -> None:
        """See what lies there now: other processes may have written, and somebody may have removed some."""
        if self._folder is not None:
            with self._lock:
                self._taken = sum(_size(file) for file in self._folder.glob("*/*.npy"))


def room_of(folder: Path, limit: int) -> Room:
    """The room in a folder, one in a process, as it is now; `limit` is what it may take from now on."""
    with _OPENING:
        room = _ROOMS.get(folder) or Room(limit, folder)
        _ROOMS[folder] = room
    room.limit = limit
    room.look()
    return room


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # removed since
        return 0
