"""How much of a folder's share of the disk is left, for all in a process that write into it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

SPARE: Final = 2**30
SPARE_SHARE: Final = 0.05
"""What a disk keeps free, chosen: so many bytes or this share of it, whichever is more, but of a small disk
no more than half. Models, labels and scores have to be written; what takes this room only saves time."""

_OPENING: Final = threading.Lock()
_ROOMS: Final[WeakValueDictionary[Path, Room]] = WeakValueDictionary()


class Room:
    """`limit` bytes, of which some are taken. Of a folder: those of its arrays, one folder down, and never
    the last that its disk has free."""

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self.limit, self._folder = limit, folder
        self._taken = 0
        self._lock = threading.Lock()
        self.look()

    def take(self, count: int) -> bool:
        """Whether there is room for so many bytes, which are then taken."""
        return self.take_first([count]) == 1

    def take_first(self, counts: Sequence[int]) -> int:
        """How many of several, from the first, there is room for; their bytes are then taken."""
        with self._lock:
            left = self._left()
            for fitting, count in enumerate(counts):
                if count > left:
                    return fitting
                left -= count
                self._taken += count
            return len(counts)

    def give(self, count: int) -> None:
        """Give bytes back that were taken and not written."""
        with self._lock:
            self._taken -= count

    def look(self) -> None:
        """See what lies there now: other processes may have written, and somebody may have removed some."""
        if self._folder is not None:
            with self._lock:
                self._taken = sum(_size(file) for file in self._folder.glob("*/*.npy"))

    def _left(self) -> int:
        """Bytes. The disk is asked each time: others write on it, too."""
        left = self.limit - self._taken
        if self._folder is None:
            return left
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:  # the folder is not made yet
            return left
        return min(left, disk.free - spare(disk.total))


def spare(total: int) -> int:
    """Bytes of a disk of `total` that stay free."""
    return round(max(min(SPARE, total / 2), SPARE_SHARE * total))


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
