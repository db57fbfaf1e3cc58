"""What is flushed to disk before a name is final: after a power cut it is whole, or not there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from serm.storage.artifacts import find_or_create, write_file

Flushed = list[tuple[int, bool]]


def _inode(path: Path) -> int:
    return path.stat().st_ino


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Flushed]:
    """Have a list filled with what is flushed: its inode, and whether the final name was there by then."""

    def watch(final: Path) -> Flushed:
        seen: Flushed = []
        monkeypatch.setattr(
            os, "fsync", lambda descriptor: seen.append((os.fstat(descriptor).st_ino, final.exists()))
        )
        return seen

    return watch


def _make(folder: Path) -> None:
    (folder / "layers" / "first").mkdir(parents=True)
    for place in (folder, folder / "layers", folder / "layers" / "first"):
        (place / "weights").write_text("numbers", encoding="utf-8")


def test_a_folder_is_flushed_from_within_before_it_has_its_name(
    tmp_path: Path, flushes: Callable[[Path], Flushed]
) -> None:
    seen = flushes(tmp_path / "made")
    made = find_or_create(tmp_path, "made", _make)
    inner = made / "layers"
    wanted = [inner / "first" / "weights", inner / "first", inner / "weights", inner, made / "weights", made]
    assert seen == [*((_inode(path), False) for path in wanted), (_inode(tmp_path), True)]


def test_a_file_is_flushed_before_it_has_its_name_and_its_folder_after(
    tmp_path: Path, flushes: Callable[[Path], Flushed]
) -> None:
    seen = flushes(tmp_path / "made.json")
    made = write_file(tmp_path / "made.json", lambda file: file.touch())
    assert seen == [(_inode(made), False), (_inode(tmp_path), True)]


def test_a_file_system_that_flushes_no_folders_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    made = find_or_create(tmp_path, "made", _make)
    assert (made / "layers" / "weights").read_text(encoding="utf-8") == "numbers"
    assert write_file(tmp_path / "file", lambda file: file.touch()).is_file()


def test_files_that_cannot_be_flushed_leave_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        find_or_create(tmp_path, "made", _make)
    assert list(tmp_path.iterdir()) == []
