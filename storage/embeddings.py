"""Embeddings on disk, so that no text is encoded twice by the same weights.

A folder per key (what the weights, the length limit and the precision make) holds two append-only files:
`vectors.bin`, rows of `dim` float16 or float32, and `index.bin`, 16-byte text hashes in the same order.
Every `put` ends its hashes with a commit row (8 bytes 0xFF, then the number of rows so far). What follows
the last commit row is the rest of a killed `put`: it is ignored on reading and cut off before the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serm.core.errors import StorageError
from serm.storage.artifacts import storage_errors

HASH_BYTES = 16
_BLOCK = 16_384  # rows that are copied at a time
_COMMIT = b"\xff" * 8


def text_hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]


def pair_hash(first: str, second: str) -> bytes:
    return text_hash(f"{len(first)} {first}{second}")  # the length says where the second begins


class EmbeddingCache:
    """Vectors by text hash. Safe for several threads and processes, and after `kill -9`.

    `EmbeddingCache(None, key, dim)` keeps them in memory alone. Vectors come back as they were rounded to
    `dtype`, from `get` after `put` too, so that a result never depends on whether a text was cached.
    """

    def __init__(
        self, folder: Path | None, key: str, dim: int, dtype: Literal["float16", "float32"] = "float16"
    ) -> None:
        self.dim, self.dtype = dim, np.dtype(dtype)
        self.folder = None if folder is None else folder / key
        self._rows: dict[bytes, int] = {}
        self._index_bytes = 0  # committed
        self._count = 0  # rows committed
        self._map: NDArray[np.generic] = np.empty((0, dim), dtype=self.dtype)
        self._file = 0  # inode of the mapped vectors; not another file's while they are mapped
        self._lock = threading.RLock()
        self.refresh()

    def __len__(self) -> int:
        return self._count

    def get(self, hashes: Sequence[bytes]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which of n hashes are known, (n,), and their vectors, (n, dim); unknown rows are 0."""
        with self._lock:
            self.refresh()
            rows = self._find(hashes)
            known = rows >= 0
            vectors = np.zeros((len(hashes), self.dim), dtype=np.float32)
            for start in range(0, len(rows), _BLOCK):
                here = slice(start, start + _BLOCK)
                vectors[here][known[here]] = self._map[rows[here][known[here]]]
            return known, vectors

    def vectors(self, hashes: Sequence[bytes]) -> NDArray[np.float32]:
        """Their vectors, (n, dim), which somebody has put. Raises StorageError where one is gone."""
        known, vectors = self.get(hashes)
        if not known.all():
            raise StorageError(
                f"{self.folder} was removed while it was in use.",
                "Give the command again: what is missing is computed anew.",
            )
        return vectors

    def known(self, hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Which of n hashes have a vector, (n,), without reading any."""
        with self._lock:
            self.refresh()
            return np.asarray(self._find(hashes) >= 0)

    def put(self, hashes: Sequence[bytes], vectors: NDArray[np.floating]) -> None:
        """Add n vectors, (n, dim); those whose hash is known already are left as they are."""
        with self._lock, self._exclusive():
            self.refresh()
            fresh: dict[bytes, int] = {}
            for position, item in enumerate(hashes):
                if item not in self._rows:
                    fresh.setdefault(item, position)
            if not fresh:
                return
            block = np.ascontiguousarray(vectors[list(fresh.values())], dtype=self.dtype)
            total = self._count + len(fresh)
            if self.folder is None:
                self._keep(block, total)
                self._take(list(fresh), total)
                return
            index = b"".join(fresh) + _COMMIT + total.to_bytes(HASH_BYTES - len(_COMMIT), "little")
            _append(self.folder / "vectors.bin", self._count * self._row_bytes, block.tobytes())
            _append(self.folder / "index.bin", self._index_bytes, index)
            self.refresh()

    def refresh(self) -> None:
        """Take in what was committed since the last look, by this object or another one."""
        if self.folder is None:
            return
        with self._lock:
            index, data = self.folder / "index.bin", self.folder / "vectors.bin"
            if self._count and not self._there(index, data):
                self._rows, self._index_bytes, self._count = {}, 0, 0
                self._map = np.empty((0, self.dim), dtype=self.dtype)
            if not index.is_file() or index.stat().st_size <= self._index_bytes:
                return
            with index.open("rb") as file:
                file.seek(self._index_bytes)
                block = file.read()
            # Somebody may have removed the vectors alone: their texts are encoded again.
            stored = data.stat().st_size // self._row_bytes if data.is_file() else 0
            pending: list[bytes] = []
            for start in range(0, len(block) - HASH_BYTES + 1, HASH_BYTES):
                item = block[start : start + HASH_BYTES]
                if not item.startswith(_COMMIT):
                    pending.append(item)
                    continue
                total = int.from_bytes(item[len(_COMMIT) :], "little")
                if total != self._count + len(pending) or total > stored:
                    break
                self._take(pending, total)
                self._index_bytes += HASH_BYTES * (len(pending) + 1)
                pending = []
            if self._count > len(self._map):
                self._map = np.memmap(data, dtype=self.dtype, mode="r", shape=(self._count, self.dim))
                self._file = data.stat().st_ino

    def _there(self, index: Path, data: Path) -> bool:
        """Whether the files are still those that were read. Somebody may have removed the folder to free the
        disk, and another process have begun a new one: then nothing of it is known here."""
        try:
            held, stored = index.stat(), data.stat()
        except FileNotFoundError:
            return False
        whole = held.st_size >= self._index_bytes and stored.st_size >= self._count * self._row_bytes
        return whole and stored.st_ino == self._file

    def _keep(self, block: NDArray[np.generic], total: int) -> None:
        """Into memory, which doubles where it is full: a copy for each block would be quadratic."""
        if total > len(self._map):
            grown = np.empty((max(total, 2 * len(self._map)), self.dim), dtype=self.dtype)
            grown[: self._count] = self._map[: self._count]
            self._map = grown
        self._map[self._count : total] = block

    def _find(self, hashes: Sequence[bytes]) -> NDArray[np.int64]:
        return np.fromiter((self._rows.get(item, -1) for item in hashes), dtype=np.int64, count=len(hashes))

    def _take(self, hashes: Sequence[bytes], total: int) -> None:
        for offset, item in enumerate(hashes):
            self._rows[item] = self._count + offset
        self._count = total

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.dtype.itemsize

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self.folder is None:
            yield
            return
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield


def _append(path: Path, offset: int, data: bytes) -> None:
    """Write at `offset`, cut what stood behind it, and wait until the disk has it."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
