"""Collections of vectors in Chroma: embedded in a folder, or on a server.

What a collection holds is told to it whole (`hold`): it adds what is missing and removes the rest, so that a
second call, or one after a kill, ends in the same rows. Nothing is downloaded and nothing is reported to
anyone: the vectors are ours, and Chroma's telemetry is off.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from serm.core.discretion import discreet, without_login
from serm.core.errors import ConfigError, SermError, StorageError, WorkspaceLockedError
from serm.storage.artifacts import storage_errors

BATCH: Final = 1_000
"""Rows a write, chosen: a kill loses so many at most. Chroma itself takes 5,461 at once."""

Floats = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]
"""n texts to unit vectors, (n, d)."""


Progress = Callable[[int, int], None]
"""Told how many rows of how many are in."""


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a collection. Its id is a hash of what it says, so rows of one id are alike."""

    reads: str  # what the encoder reads
    shows: str  # what a search shows
    about: Mapping[str, str | int] | None = None  # what else it tells; Chroma takes no None in it


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row that a search found."""

    id: str
    shows: str
    about: Mapping[str, Any]
    similarity: float  # cosine


class Collection:
    """Rows of one kind, read by one encoder. Safe to search from several threads."""

    def __init__(self, collection: Any, place: str, batch: int) -> None:
        self._collection, self._place, self._batch = collection, place, batch

    def __len__(self) -> int:
        with chroma_errors(self._place):
            return int(self._collection.count())

    def hold(
        self,
        rows: Mapping[str, Row],
        embed: Embed,
        progress: Progress = silent,
    ) -> int:
        """Make the collection hold these rows, by id, and no others. Returns how many were added."""
        with chroma_errors(self._place):
            there = set(self._collection.get(include=[])["ids"])
            surplus = sorted(there - rows.keys())
            for start in range(0, len(surplus), self._batch):
                self._collection.delete(ids=surplus[start : start + self._batch])
        missing = [name for name in rows if name not in there]
        for start in range(0, len(missing), self._batch):
            progress(start, len(missing))
            ids = missing[start : start + self._batch]
            self._add(ids, [rows[name] for name in ids], embed)
        return len(missing)

    def _add(self, ids: list[str], rows: Sequence[Row], embed: Embed) -> None:
        vectors = embed([row.reads for row in rows])
        with chroma_errors(self._place):
            self._collection.upsert(
                ids=ids,
                embeddings=vectors,
                documents=[row.shows for row in rows],
                metadatas=[dict(row.about) if row.about else None for row in rows],
            )

    def nearest(self, vector: Floats, count: int) -> list[Neighbour]:
        """The `count` rows nearest to a vector, (d,), the nearest first; fewer where there are fewer."""
        with chroma_errors(self._place):
            found = self._collection.query(
                query_embeddings=[vector], n_results=count, include=["documents", "metadatas", "distances"]
            )
        columns = (found[name][0] for name in ("ids", "documents", "metadatas", "distances"))
        return [
            Neighbour(name, shows or "", about or {}, 1.0 - float(distance))
            for name, shows, about, distance in zip(*columns, strict=True)
        ]


class Chroma:
    """A connection. Embedded, it belongs to one process at a time: a second writer would hang."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """`folder` is where an embedded one lives; `url` names a server instead.

        Raises WorkspaceLockedError where another process has the folder open, StorageError where folder or
        server cannot be used, ConfigError where `url` is none.
        """
        self.place = without_login(url) if url else str(folder)
        self._lock = None if url else _take(folder)
        try:
            with chroma_errors(self.place):
                self._client = _server(url) if url else _embedded(folder)
                self._batch = min(BATCH, int(self._client.get_max_batch_size()))
        except BaseException:
            self._free()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def collection(self, family: str, encoder: str) -> Collection:
        """Open the family's collection of one encoder's vectors; those of other encoders are removed."""
        name = f"{family}-{encoder}"
        with chroma_errors(self.place):
            for other in self._client.list_collections():
                if other.name.startswith(f"{family}-") and other.name != name:
                    self._client.delete_collection(other.name)
            made = self._client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
        return Collection(made, self.place, self._batch)

    def close(self) -> None:
        """Free the folder. Safe to call twice."""
        try:
            self._client.close()
        finally:
            self._free()

    def _free(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


@contextmanager
def chroma_errors(place: str) -> Iterator[None]:
    """Whatever Chroma, its database or the network says is wrong, the user reads a sentence."""
    try:
        yield
    except SermError:
        raise
    except Exception as error:
        text = discreet(" ".join(str(error).split())).rstrip(".") or type(error).__name__
        raise StorageError(
            f"the knowledge base at {place} failed: {text[:300]}.",
            "Check `storage.chroma` and that the server is up. An embedded one can be removed: the next run "
            "fills it again.",
        ) from error


def _settings() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False, _env_file=None)  # it would read any .env that lies about


def _embedded(folder: Path) -> Any:
    import chromadb  # heavy: half a second

    return chromadb.PersistentClient(str(folder), settings=_settings())


def _server(url: str) -> Any:
    import chromadb

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"`storage.chroma`: {without_login(url)} is no URL of a server.", "Such as http://localhost:8000."
        )
    return chromadb.HttpClient(url, ssl=parts.scheme == "https", settings=_settings())


def _take(folder: Path) -> IO[str]:
    """Lock the folder; the operating system frees it when the process ends, however it ends."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise WorkspaceLockedError(
            f"another process has the knowledge base in {folder} open.", "Wait until it ends, or end it."
        ) from None
    return file
