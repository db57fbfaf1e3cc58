"""One folder, one process, one configuration."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serm.core import Settings
from serm.core.errors import (
    StorageError,
    WorkspaceError,
    WorkspaceLockedError,
    WorkspaceMismatchError,
)
from serm.core.hashing import digest
from serm.core.settings import NOT_IDENTITY
from serm.storage.workspace import CURRENT, Workspace


def settings(folder: Path, **values: object) -> Settings:
    mapping = {"workspace": str(folder / "work"), "data": {"sources": [{"pairs": "pairs.parquet"}]}, **values}
    return Settings.from_mapping(mapping, folder=folder, environment={})


def bound(given: Settings) -> None:
    """A workspace in which a run has come as far as its data."""
    with Workspace.open(given) as workspace:
        (workspace.data / CURRENT).touch()


def test_a_first_run_that_failed_before_its_data_leaves_the_config_free_to_be_mended(tmp_path: Path) -> None:
    Workspace.open(settings(tmp_path)).close()
    mended = {"data": {"sources": [{"pairs": "pairs.parquet", "columns": {"doc_id": "sku"}}]}}
    bound(settings(tmp_path, **mended))
    Workspace.open(settings(tmp_path, **mended)).close()
    with pytest.raises(WorkspaceMismatchError, match="columns"):
        Workspace.open(settings(tmp_path))


def test_a_shared_folder_that_is_gone_or_another_is_told_with_both_places(tmp_path: Path) -> None:
    Workspace.open(settings(tmp_path, storage={"shared": "a"})).close()
    with pytest.raises(WorkspaceError, match=r"is a link to .*/a/scores, and `storage.shared` is .*/b"):
        Workspace.open(settings(tmp_path, storage={"shared": "b"}))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(WorkspaceError, match=r"is a link to .*/a/scores, which is gone"):
        Workspace.open(settings(tmp_path))
    Workspace.open(settings(tmp_path, storage={"shared": "a"})).close()


def test_a_new_workspace_has_its_folders_and_remembers_its_config(tmp_path: Path) -> None:
    with Workspace.open(settings(tmp_path)) as workspace:
        assert workspace.data.is_dir()
        assert workspace.snapshots.is_dir()
        assert workspace.identity["random_seed"] == 7
        assert workspace.judgments_url == f"sqlite:///{workspace.folder}/judgments.sqlite"


def test_the_same_config_opens_it_again(tmp_path: Path) -> None:
    for _ in range(2):
        Workspace.open(settings(tmp_path)).close()


def test_a_key_that_decides_no_result_may_change(tmp_path: Path) -> None:
    Workspace.open(settings(tmp_path)).close()
    bound(settings(tmp_path))
    for free in ({"llm": {"concurrency": 2}}, {"model": {"device": "cpu", "batch_size": 3}}):
        Workspace.open(settings(tmp_path, **free)).close()
    Workspace.open(settings(tmp_path, miner={"executor": "ray"})).close()


def test_another_config_is_refused_and_the_difference_is_named(tmp_path: Path) -> None:
    bound(settings(tmp_path, budget={"pairs_per_round": 600}))
    with pytest.raises(
        WorkspaceMismatchError, match=r"budget\.pairs_per_round: 600 in the workspace, 300 in the config"
    ) as raised:
        Workspace.open(settings(tmp_path, budget={"pairs_per_round": 300}))
    assert raised.value.remedy
    assert raised.value.exit_code == 11


def test_a_judge_that_was_added_is_named_as_the_difference(tmp_path: Path) -> None:
    bound(settings(tmp_path, judges=["openai:a"]))
    with pytest.raises(WorkspaceMismatchError, match=r"judges\.1\.backend: not set in the workspace"):
        Workspace.open(settings(tmp_path, judges=["openai:a", "openai:b"]))


def test_after_a_refusal_the_right_config_still_opens_it(tmp_path: Path) -> None:
    bound(settings(tmp_path))
    with pytest.raises(WorkspaceMismatchError):
        Workspace.open(settings(tmp_path, random_seed=8))
    Workspace.open(settings(tmp_path)).close()


HOLD = """
import sys
from serm.core import Settings
from serm.storage.workspace import Workspace
workspace = Workspace.open(Settings.from_yaml(sys.argv[1], {}))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_works_there(tmp_path: Path) -> None:
    config = tmp_path / "serm.yaml"
    config.write_text("workspace: work\ndata: {sources: [{pairs: pairs.parquet}]}\n")
    ours = Settings.from_yaml(config, {})
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceLockedError, match=f"process {other.pid} ") as raised:
            Workspace.open(ours)
        assert raised.value.remedy
        Workspace.read(tmp_path / "work")  # looking is allowed
        other.kill()  # even by kill -9 the lock is freed
    Workspace.open(ours).close()


def test_leftovers_of_a_killed_run_are_swept_and_nothing_else(tmp_path: Path) -> None:
    with Workspace.open(settings(tmp_path)) as workspace:
        (workspace.data / ".abc-x1").mkdir()
        (workspace.data / ".abc-x1" / "half").touch()
        (workspace.data / "abc").mkdir()
        (workspace.snapshots / ".s.parquet-x2.parquet").touch()
    with Workspace.open(settings(tmp_path)) as workspace:
        assert [item.name for item in workspace.data.iterdir()] == ["abc"]
        assert list(workspace.snapshots.iterdir()) == []


def test_a_folder_of_somebody_else_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").touch()
    with pytest.raises(WorkspaceError, match=r"holds thesis\.tex"):
        Workspace.open(settings(tmp_path))
    assert [item.name for item in (tmp_path / "work").iterdir()] == ["thesis.tex"]


def test_a_run_that_was_killed_before_it_bound_the_folder_does_not_lock_it_out(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "lock").touch()
    (tmp_path / "work" / ".config.json-a1.json").touch()
    with Workspace.open(settings(tmp_path)) as workspace:
        assert not list(workspace.folder.glob(".*"))


def test_a_file_in_the_place_of_the_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.open(settings(tmp_path))


def test_a_damaged_config_file_is_named(tmp_path: Path) -> None:
    bound(settings(tmp_path))
    (tmp_path / "work" / "config.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"config\.json is damaged"):
        Workspace.open(settings(tmp_path))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission is denied"),
        (errno.ENOSPC, "disk is full"),
        (errno.ENAMETOOLONG, "too long"),
    ],
)
def test_a_disk_that_refuses_is_told_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    # As root no chmod refuses anything, so the refusal is played at the call that meets it first.
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, "played")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=words) as raised:
        Workspace.open(settings(tmp_path))
    assert raised.value.remedy
    assert raised.value.exit_code == 12


def test_a_workspace_that_is_only_read_needs_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no workspace at"):
        Workspace.read(tmp_path)


def test_the_recorded_config_is_readable_by_people(tmp_path: Path) -> None:
    with Workspace.open(settings(tmp_path)) as workspace:
        recorded = json.loads((workspace.folder / "config.json").read_text())
    assert recorded["fingerprint"] == settings(tmp_path).fingerprint()


def test_a_login_is_not_written_down_and_a_new_password_is_no_other_config(tmp_path: Path) -> None:
    def of(login: str) -> Settings:
        url = f"http://{login}host/v1#qwen"
        return settings(tmp_path, judges=[url, "openai:a"], agents={"llm": url})

    bound(of("me:s3cret@"))
    with Workspace.open(of("me:s3cret@")) as workspace:
        text = (workspace.folder / "config.json").read_text()
    assert "s3cret" not in text
    assert json.loads(text)["identity"]["agents"]["llm"] == "http://host/v1#qwen"
    bound(of("me:another@"))
    Workspace.open(of("")).close()
    with pytest.raises(WorkspaceMismatchError) as raised:
        Workspace.open(settings(tmp_path, judges=["http://me:s3cret@other/v1#qwen"]))
    assert "s3cret" not in str(raised.value)


def test_a_workspace_that_was_bound_with_a_login_goes_on_and_loses_it(tmp_path: Path) -> None:
    ours = settings(tmp_path, judges=["http://me:s3cret@host/v1#qwen"])
    Workspace.open(ours).close()
    file = tmp_path / "work" / "config.json"
    new = file.read_text()
    file.write_text(new.replace("http://host", "http://me:s3cret@host"))
    assert "s3cret" not in json.dumps(Workspace.read(tmp_path / "work").identity)
    Workspace.open(ours).close()
    assert file.read_text() == new


def test_without_a_login_the_fingerprint_is_that_of_the_settings_as_they_are(tmp_path: Path) -> None:
    ours = settings(tmp_path, judges=["http://host/v1#qwen@2024", "replay:a@b.parquet#j"])
    plain = ours.model_dump(mode="json", exclude=set(NOT_IDENTITY))
    del plain["budget"]["currency"], plain["model"]["device"], plain["model"]["batch_size"]
    del plain["miner"]["executor"]
    assert ours.fingerprint() == digest(plain)


def test_workspaces_may_share_what_is_named_by_content(tmp_path: Path) -> None:
    data = {"sources": [{"pairs": "pairs.parquet"}]}

    def settings(name: str) -> Settings:
        storage = {"shared": "shared"}
        values = {"workspace": name, "data": data, "storage": storage}
        return Settings.from_mapping(values, folder=tmp_path, environment={})

    with Workspace.open(settings("one")) as one, Workspace.open(settings("two")) as two:
        (one.models / "key").mkdir()
        (one.samples / "mine").mkdir()
        half = one.models / ".key-half"
        half.mkdir()
        assert (two.models / "key").is_dir()
        assert not (two.samples / "mine").exists()
    with Workspace.open(settings("two")):
        assert half.is_dir()  # another process may be at work on it


def bound_without(folder: Path, *keys: str, **values: object) -> None:
    """A workspace as a version without these keys bound it; `values`: keys that it had and that are gone."""
    bound(settings(folder))
    file = folder / "work" / "config.json"
    written = json.loads(file.read_text())
    for key in keys:
        *sections, last = key.split(".")
        place = written["identity"]
        for section in sections:
            place = place[int(section) if section.isdecimal() else section]
        del place[last]
    written["identity"] |= values
    file.write_text(json.dumps(written))


def test_a_key_that_came_later_counts_as_its_default(tmp_path: Path) -> None:
    bound_without(tmp_path, "data.sources.0.grades", "miner.near_text", "knowledge")
    Workspace.open(settings(tmp_path)).close()
    assert Workspace.read(tmp_path / "work").identity == json.loads(json.dumps(settings(tmp_path).identity()))


def test_a_key_that_came_later_and_is_set_to_something_else_is_refused(tmp_path: Path) -> None:
    bound_without(tmp_path, "data.sources.0.grades", "knowledge")
    with pytest.raises(
        WorkspaceMismatchError, match=r"knowledge\.results: 4 in the workspace, 5 in the config"
    ):
        Workspace.open(settings(tmp_path, knowledge={"results": 5}))


def test_a_key_that_is_gone_is_told_alone(tmp_path: Path) -> None:
    bound_without(tmp_path, "knowledge", luck=7)
    with pytest.raises(WorkspaceMismatchError, match=r"\(luck: 7 in the workspace, not set in the config\)"):
        Workspace.open(settings(tmp_path))
