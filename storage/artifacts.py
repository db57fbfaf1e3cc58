"""Files and folders that are there whole or not at all, named by the hash of what they were made from."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from serm.core.errors import StorageError

_OPEN_FILES = (
    "too many files are open",
    "Allow more with `ulimit -n 4096`, or close other programs, and run the same command again.",
)
_IN_THE_WAY = ("a file lies where a folder is wanted", "Name another path, or move that file away.")
_FREE_SPACE = (
    "Free some space and run the same command again; nothing is lost. A workspace's folder `states/` may be "
    "removed: what is in it only saves time."
)
_REMEDIES = {
    errno.ENOSPC: ("the disk is full", _FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", _FREE_SPACE),
    errno.EROFS: ("the disk is read-only", "Choose another workspace with `workspace:` in the config."),
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,  # what `mkdir` says where the last part of its path is a file
    errno.EISDIR: ("it is a folder", "Name a file in it."),
    errno.ENAMETOOLONG: ("its name is too long", "Give it a shorter one."),
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.EACCES: ("permission is denied", "Make the folder writable, or choose another workspace."),
}

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What NumPy says, without an errno, of a disk that fills while it writes an array."""
_TOLD = re.compile(r"\[Errno (\d+)\]")
"""What `shutil` says, without an errno of its own, of the files that it could not copy."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")

_LOCKED = ("another program holds it locked", "Close what has it open and run the same command again.")
_SQLITE_REMEDIES = {
    sqlite3.SQLITE_FULL: _REMEDIES[errno.ENOSPC],
    sqlite3.SQLITE_IOERR: ("the disk fails", "See that it is there and not full, and run the command again."),
    sqlite3.SQLITE_READONLY: _REMEDIES[errno.EROFS],
    sqlite3.SQLITE_PERM: _REMEDIES[errno.EACCES],
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", _REMEDIES[errno.EACCES][1]),
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "Put a copy of it back, or choose another workspace."),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite database", "Put a copy of it back, or move it away."),
}
"""By the primary code: SQLite says why in the upper bits of an extended one."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a StorageError that names the path and a remedy; it may be
    that of a SQLite database."""
    try:
        with sqlite_errors(path):
            yield
    except OSError as error:
        known = [code for code in _codes(error) if code in _REMEDIES]
        if not known:
            raise
        what, remedy = _REMEDIES[known[0]]
        raise StorageError(f"{path} cannot be written: {what}.", remedy) from error


def _codes(error: OSError) -> list[int]:
    """Its errno; where it has none, those that its text tells of."""
    if error.errno is not None:
        return [error.errno]
    said = str(error)
    return [errno.ENOSPC] if _SHORT_WRITE.search(said) else [int(code) for code in _TOLD.findall(said)]


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """The same of what SQLite itself says, alone: where much else goes on that may find a disk full."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        found = _SQLITE_REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if found is None:
            raise
        raise StorageError(f"{path} cannot be used: {found[0]}.", found[1]) from error


@contextmanager
def rust_errors() -> Iterator[None]:
    """Turn what a library in Rust says of the disk, in an exception of its own, into the OSError that it is:
    safetensors and tokenizers write files so. To be used inside of `storage_errors`."""
    try:
        yield
    except Exception as error:
        code = _OS_ERROR.search(str(error))
        if isinstance(error, OSError) or code is None:
            raise
        raise OSError(int(code[1]), str(error)) from error


def find_or_create(folder: Path, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `folder/key`; where it is missing, `make` fills a temporary one that is renamed into place.

    A kill or a power cut at any moment leaves either the whole folder or none under that name, and two
    processes that make the same one at the same time both end with it.
    """
    target = folder / key
    if target.is_dir():
        return target
    with storage_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=folder))
        try:
            make(temporary)
            temporary.chmod(0o755)
            _flush_all(temporary)  # else a power cut could leave the name on disk, and its files empty
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was first, with the same content
                    raise
            _flush_folder(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def write_file(path: Path, write: Callable[[Path], None]) -> Path:
    """Write one file through a temporary name in the same folder, flushed to disk, then renamed."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            _flush_file(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            _flush_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def discard(folder: Path) -> None:
    """Remove a folder, under another name first: half removed it would look whole."""
    doomed = folder.with_name(f".{folder.name}-{uuid4().hex}")
    with storage_errors(folder), suppress(FileNotFoundError):  # another process was first
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def write_json(path: Path, value: object) -> Path:
    """Write a value as indented JSON, whole or not at all. Raises ValueError for NaN and infinity."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    return write_file(path, write)


def _flush_all(folder: Path) -> None:
    """Have the disk keep all that is in a folder: its files, then the folders, the innermost first."""
    for place, _, names in os.walk(folder, topdown=False):
        for file in (Path(place) / name for name in names):
            if file.is_file() and not file.is_symlink():
                _flush_file(file)
        _flush_folder(Path(place))


def _flush_file(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder, where its file system does that: some refuse to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
