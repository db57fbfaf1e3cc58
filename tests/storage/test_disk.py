"""A full disk and a read-only one: a sentence, a remedy, and nothing half-written under its final name."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serm.core import Settings
from serm.core.errors import StorageError
from serm.core.records import Reject
from serm.storage.artifacts import find_or_create, storage_errors, write_file
from serm.storage.ingest import ingest
from serm.storage.rejects import RejectLog
from serm.storage.room import Room
from serm.storage.snapshots import build_snapshot
from serm.storage.states import StateStore
from serm.storage.workspace import Workspace


class Disk:
    """A small file system in memory, to be filled, enlarged or made read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "work"
    folder.mkdir()
    disk = Disk(folder)
    if not disk.mount("size=400k"):
        pytest.skip("a small file system cannot be mounted here (it takes root and the right to mount)")
    yield disk
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def rows(many_rows: Callable[..., list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """About 1 MB of text that does not compress."""
    return [{**row, "text": os.urandom(500).hex()} for row in many_rows(100, 10)]


def test_a_disk_that_fills_while_data_comes_in_loses_nothing(
    tmp_path: Path, disk: Disk, settings_of: Callable[..., Settings], rows: Any
) -> None:
    pd.DataFrame(rows).to_parquet(tmp_path / "pairs.parquet")
    settings = settings_of()
    with Workspace.open(settings) as workspace:
        with pytest.raises(StorageError, match="the disk is full") as raised:
            ingest(settings, workspace)
        assert "run the same command again" in raised.value.remedy
        assert list(workspace.data.iterdir()) == []
    assert disk.mount("remount,size=20m")
    with Workspace.open(settings) as workspace:
        assert len(ingest(settings, workspace).windows) == 3


def test_a_disk_that_fills_under_a_snapshot_leaves_no_half_snapshot(
    disk: Disk, settings_of: Callable[..., Settings], rows: Any
) -> None:
    settings = settings_of()
    labels = pd.DataFrame(rows).assign(title="", language="en", round=1)
    with Workspace.open(settings) as workspace:
        with pytest.raises(StorageError, match="the disk is full"):
            build_snapshot(workspace, labels, labels.iloc[:0], labels.iloc[:0], settings.training, 7)
        assert list(workspace.snapshots.iterdir()) == []


def test_a_disk_that_fills_under_an_array_is_full_and_a_cache_goes_on_without_it(disk: Disk) -> None:
    """NumPy writes an array by itself, and tells of a short write without an errno."""
    large = np.zeros((1_000, 128), dtype=np.float32)
    with pytest.raises(StorageError, match="the disk is full"):
        write_file(disk.folder / "array.npy", lambda file: np.save(file, large))
    room = Room(10_000_000)
    store = StateStore(disk.folder / "states", room)
    store.put([bytes(32)], [large.astype(np.float16)[:, :2]])
    store.put([bytes([1] * 32)], [np.zeros((4_000, 128), dtype=np.uint16)])
    assert store.missing([bytes(32), bytes([1] * 32)]) == [1]
    assert sorted(file.suffix for file in disk.folder.rglob("*") if file.is_file()) == [".json", ".npy"]


def test_a_disk_that_fills_under_a_copy_of_a_folder_is_full_and_leaves_none(
    tmp_path: Path, disk: Disk
) -> None:
    """`shutil.copytree` collects what went wrong in an error without an errno."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("config", "layers"):
        (weights / name).write_bytes(os.urandom(300_000))
    with pytest.raises(StorageError, match="the disk is full") as raised:
        find_or_create(
            disk.folder, "copy", lambda folder: shutil.copytree(weights, folder, dirs_exist_ok=True)
        )
    assert "states/" in raised.value.remedy
    assert list(disk.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission is denied")]
)
def test_what_a_copy_of_a_folder_tells_of_its_files_is_known(tmp_path: Path, code: int, said: str) -> None:
    why = [("from", "to", str(OSError(number, os.strerror(number), "to"))) for number in (errno.EINVAL, code)]
    with pytest.raises(StorageError, match=said), storage_errors(tmp_path):
        raise shutil.Error(why)
    with pytest.raises(shutil.Error), storage_errors(tmp_path):
        raise shutil.Error(why[:1])


def test_a_read_only_disk_is_refused_before_anything_is_done(
    disk: Disk, settings_of: Callable[..., Settings]
) -> None:
    assert disk.mount("remount,ro")
    with pytest.raises(StorageError, match="the disk is read-only") as raised:
        Workspace.open(settings_of())
    assert "another workspace" in raised.value.remedy


def test_a_workspace_on_a_disk_that_became_read_only_can_still_be_looked_at(
    disk: Disk, settings_of: Callable[..., Settings]
) -> None:
    Workspace.open(settings_of()).close()
    assert disk.mount("remount,ro")
    assert Workspace.read(disk.folder).identity["random_seed"] == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the read-only disk above stands in")
def test_a_folder_without_the_right_to_write_is_refused(
    tmp_path: Path, settings_of: Callable[..., Settings]
) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permission is denied"):
            Workspace.open(settings_of())
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_rejects_file_that_cannot_be_written_is_an_error_and_not_a_lost_row() -> None:
    log = RejectLog(Path("/dev/full"))
    log.add(Reject("f", 1, "grade", "out of range"))
    with pytest.raises(StorageError, match="the disk is full"):
        log.close()


def test_too_many_open_files_are_a_sentence_and_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="too many files are open") as raised, storage_errors(tmp_path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert "ulimit -n" in raised.value.remedy


@pytest.mark.parametrize("under", [".", "deeper"])
def test_a_file_where_a_folder_is_wanted_is_a_sentence_and_a_remedy(tmp_path: Path, under: str) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageError, match="a file lies where a folder is wanted"):
        write_file(tmp_path / "taken" / under / "labels.csv", lambda file: file.touch())
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "a file"
    with pytest.raises(StorageError, match="it is a folder"):
        write_file(tmp_path, lambda file: file.touch())
