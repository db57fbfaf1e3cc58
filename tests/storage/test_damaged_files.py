"""Files of a workspace that a power cut emptied, or a stray copy beside them: a sentence and a way on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serm.core.errors import WorkspaceError
from serm.storage.dataset import MANIFEST, DataSet
from serm.storage.labels import read_labels, write_labels
from serm.storage.reading import A_COPY, damage_errors, read_frame
from serm.storage.rounds import read_rounds
from serm.storage.snapshots import read_snapshot
from serm.storage.windows_used import windows_used
from serm.storage.workspace import CURRENT

Ingested = Callable[..., DataSet]


@pytest.fixture
def rounds(tmp_path: Path) -> Path:
    """The folder of three rounds, with a report each."""
    for number in range(3):
        folder = tmp_path / "rounds" / f"{number:03d}"
        folder.mkdir(parents=True)
        (folder / "round.json").write_text(f'{{"round": {number}}}', encoding="utf-8")
    return tmp_path / "rounds"


@pytest.mark.parametrize("name", ["001.bak", "copy of 001", "1a", "\u00b2"])
def test_a_copy_beside_the_rounds_is_no_round(rounds: Path, name: str) -> None:
    shutil.copytree(rounds / "001", rounds / name)
    assert [report["round"] for report in read_rounds(rounds)] == [0, 1, 2]
    assert windows_used(rounds.parent) == 2


def test_a_report_that_is_empty_is_named_and_the_run_goes_on_without_it(rounds: Path) -> None:
    report = rounds / "001" / "round.json"
    os.truncate(report, 0)
    with pytest.raises(WorkspaceError, match=str(report)) as raised:
        read_rounds(rounds)
    assert "move it away" in raised.value.remedy
    report.rename(rounds.parent / "round.json")
    assert [report["round"] for report in read_rounds(rounds)] == [0, 2]


@pytest.mark.parametrize(
    ("file", "size", "read"),
    [
        ("window-001.parquet", 0, lambda data: data.window(1)),
        ("window-001.parquet", 100, lambda data: data.coded_window(1)),
        ("gate.parquet", 0, lambda data: data.gate(2)),
    ],
)
def test_a_table_that_is_cut_short_is_named_and_made_again(
    ingested: Ingested,
    many_rows: Callable[..., Any],
    file: str,
    size: int,
    read: Callable[[DataSet], Any],
) -> None:
    dataset = ingested(many_rows(40))
    whole = read(dataset)
    os.truncate(dataset.folder / file, size)
    with pytest.raises(WorkspaceError, match=str(dataset.folder / file)) as raised:
        read(dataset)
    assert str(dataset.folder) in raised.value.remedy
    shutil.rmtree(dataset.folder)  # what the remedy says
    assert read(ingested(many_rows(40))).equals(whole)


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_manifest_that_says_nothing_is_no_data_set(
    ingested: Ingested, many_rows: Callable[..., Any], text: str
) -> None:
    dataset = ingested(many_rows(40))
    (dataset.folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError, match="holds no data set") as raised:
        DataSet.load(dataset.folder)
    assert str(dataset.folder) in raised.value.remedy


def test_an_empty_note_of_the_data_set_in_use_is_named_and_written_again(
    ingested: Ingested, many_rows: Callable[..., Any]
) -> None:
    note = ingested(many_rows(40)).folder.parent / CURRENT
    whole = note.read_bytes()
    os.truncate(note, 0)
    with pytest.raises(WorkspaceError, match=str(note)) as raised:
        ingested(many_rows(40))
    assert "remove it" in raised.value.remedy
    note.unlink()
    ingested(many_rows(40))
    assert note.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 100, None])
@pytest.mark.parametrize("read", [read_labels, read_snapshot, read_frame])
def test_labels_and_snapshots_that_are_damaged_or_gone_are_named(
    tmp_path: Path, read: Callable[[Path], Any], size: int | None
) -> None:
    file = tmp_path / "labels.parquet"
    if size is not None:
        write_labels([], file)
        os.truncate(file, size)
    with pytest.raises(WorkspaceError, match=str(file)) as raised:
        read(file)
    assert raised.value.remedy == A_COPY


def test_what_the_machine_is_at_fault_for_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too many") as raised, damage_errors(tmp_path, ""):
        raise OSError(24, "too many open files")
    assert not isinstance(raised.value, WorkspaceError)
