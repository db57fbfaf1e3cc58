"""Knowledge on a Chroma server: a real one on this machine, several workspaces on it, and none."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from knowledge_world import PAIRS, STRANGER, Counting

from serm.core.errors import ConfigError, StorageError
from serm.storage.knowledge import open_knowledge


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Starts a real Chroma server on this machine; its URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(tmp_path / "server")]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        started.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_server_holds_the_knowledge_of_several_workspaces_apart(
    tmp_path: Path, encoder: Any, labels: pd.DataFrame, server: Callable[[], str]
) -> None:
    url = server()
    counting = Counting(encoder)
    with (
        open_knowledge(tmp_path / "one", url, counting, PAIRS, labels) as one,
        open_knowledge(tmp_path / "two", url, encoder, PAIRS.head(8)) as two,
    ):
        assert one.sizes["judged"] == 40
        assert two.sizes == {"passages": len(PAIRS.head(8)[["title", "text"]].drop_duplicates()), "judged": 0}
        found = one.search("red lamp", 4, STRANGER)
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["id"], "nothing else is kept here"
    read, name = len(counting.documents), (tmp_path / "one" / "id").read_text()
    with open_knowledge(tmp_path / "one", url, counting, PAIRS, labels) as one:
        assert one.search("red lamp", 4, STRANGER) == found
    assert len(counting.documents) == read

    (tmp_path / "one" / "id").unlink()  # a folder of the same path on another machine
    with open_knowledge(tmp_path / "one", url, encoder, PAIRS.head(8)) as other:
        assert other.sizes["judged"] == 0
    (tmp_path / "one" / "id").write_text(name)
    with open_knowledge(tmp_path / "one", url, counting, PAIRS, labels):
        assert len(counting.documents) == read, "nobody has touched it"


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("http://127.0.0.1:9", StorageError, "the knowledge base at http://127.0.0.1:9 failed"),
        ("127.0.0.1:8000", ConfigError, "is no URL of a server"),
    ],
)
def test_a_server_that_is_not_there_is_a_sentence(
    tmp_path: Path, encoder: Any, url: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        open_knowledge(tmp_path, url, encoder, PAIRS)
