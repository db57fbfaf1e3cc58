"""A disk that is full while weights are saved: a sentence and a remedy, whoever writes the file."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors

from serm.core.errors import StorageError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.loading import open_base
from serm.storage.artifacts import rust_errors, storage_errors

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Makes a file system in memory of a given size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small file system cannot be mounted here (it takes root and the right to mount)")
        return folder

    yield mounted
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


@pytest.mark.parametrize("kind", ["biencoder", "crossencoder"])
@pytest.mark.parametrize(
    "size", ["4k", "60k", "100k"]
)  # for a config, for some weights, for all but the words
def test_weights_for_which_the_disk_has_no_room(
    kind: str, size: str, tiny: ModelSettings, mount: Mount
) -> None:
    model = open_base(tiny.model_copy(update={"kind": kind}), None)
    with pytest.raises(StorageError, match=r"cannot be written: the disk is full") as error:
        model.save(mount(size) / "model")
    assert "run the same command again" in error.value.remedy


def test_what_a_library_in_rust_says_of_the_disk_is_an_os_error(tmp_path: Path) -> None:
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(OSError, match="No space left") as error, rust_errors():
        raise safetensors.SafetensorError(said)
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(StorageError, match="the disk is full"), storage_errors(tmp_path), rust_errors():
        raise safetensors.SafetensorError(said)


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(safetensors.SafetensorError, match="no such tensor"), rust_errors():
        raise safetensors.SafetensorError("no such tensor")
