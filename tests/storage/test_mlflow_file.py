"""What a full disk or a kill leaves while MLflow's database is made: nothing, so that it is made again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.db import utils
from sqlalchemy.exc import OperationalError

from serm.core.errors import WorkspaceError
from serm.relevance_model.registry import ModelRegistry
from serm.storage.mlflow_file import make_whole

pytestmark = pytest.mark.slow  # kills while MLflow makes its tables

MAKE = (
    "import sys; from serm.storage.mlflow_file import make_whole; "
    "print(1, flush=True); make_whole(sys.argv[1])"
)


def test_a_disk_that_fills_while_it_is_made_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, whole = f"sqlite:///{tmp_path / 'mlflow.db'}", utils._initialize_tables

    def half(engine: Any) -> None:
        utils.InitialBase.metadata.create_all(engine)
        raise OperationalError("DROP TABLE x", {}, Exception("database or disk is full"))

    monkeypatch.setattr(utils, "_initialize_tables", half)
    with pytest.raises(WorkspaceError, match="database or disk is full"):
        ModelRegistry(uri)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(utils, "_initialize_tables", whole)
    assert ModelRegistry(uri).versions() == []


def test_a_file_that_another_process_made_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, whole = tmp_path / "mlflow.db", utils._initialize_tables

    def late(engine: Any) -> None:
        whole(engine)
        file.write_text("of another process", encoding="utf-8")

    monkeypatch.setattr(utils, "_initialize_tables", late)
    make_whole(f"sqlite:///{file}")
    assert file.read_text(encoding="utf-8") == "of another process"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("seconds", [0.2, 0.6])
def test_after_a_kill_while_it_is_made_it_is_made_again(tmp_path: Path, seconds: float) -> None:
    file = tmp_path / "mlflow.db"
    uri = f"sqlite:///{file}"
    process = subprocess.Popen([sys.executable, "-c", MAKE, uri], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ModelRegistry(uri).versions() == []


def test_a_server_and_a_file_that_is_there_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ModelRegistry(uri)
    monkeypatch.setattr(utils, "_initialize_tables", lambda _: pytest.fail("it is made already"))
    assert ModelRegistry(uri).versions() == []
