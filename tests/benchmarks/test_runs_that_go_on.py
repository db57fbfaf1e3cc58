"""A run that was killed goes on as it began: by the same files and the same settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_run_record import ends, write_protocol

from serm.benchmarks import runner
from serm.benchmarks.made_by_code import code_version
from serm.benchmarks.run_record import made_from
from serm.cli import benchmark
from serm.cli.main import run
from serm.core.errors import WorkspaceMismatchError
from serm.core.settings import Settings
from serm.storage.artifacts import write_json


def test_a_run_that_goes_on_reads_the_files_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, made = {"judges.0.backend": "aa", "data.sources.0.pairs": "bb"}, made_from(Settings())
    assert runner._begin(tmp_path / "run", read, made) == code_version()
    assert runner._begin(tmp_path / "run", read, made) == code_version()
    with pytest.raises(WorkspaceMismatchError, match=r"other contents of these files: judges\.0\.backend"):
        runner._begin(tmp_path / "run", read | {"judges.0.backend": "cc"}, made)
    monkeypatch.setattr(runner, "code_version", lambda: "0.1 later")  # a run that was killed goes on by it
    assert runner._begin(tmp_path / "run", read, made) == f"{code_version()} and 0.1 later"


def test_a_run_that_goes_on_is_made_by_the_settings_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    ends(monkeypatch, stop="")  # killed in its midst
    command = ["benchmark", str(write_protocol(tmp_path)), "--out", str(out)]
    assert run(command) == 1
    capfd.readouterr()
    write_protocol(tmp_path, change={"llm": {"temperature": 0.5}})
    assert run(command) == 1
    told = capfd.readouterr().out
    assert f"{out / 'runs' / 'ours' / 'seed-1'} was begun under other settings" in told
    assert "(llm.temperature: 0.0 in the run, 0.5 in the protocol). Set these keys back, or remove" in told
    monkeypatch.setattr(benchmark, "_write", lambda *given: None)  # there is nothing to collect
    ends(monkeypatch, stop="the stream has no further window after 1")
    changes_no_result = {"llm": {"concurrency": 3}, "budget": {"currency": 5.0}}
    write_protocol(tmp_path, change=changes_no_result)
    assert run(command) == 0


def test_a_run_that_an_earlier_version_began_goes_on_and_is_held_to_what_it_goes_on_with(
    tmp_path: Path,
) -> None:
    read = {"judges.0.backend": "aa"}
    write_json(tmp_path / "begun.json", {**read, "serm": [code_version()]})
    runner._begin(tmp_path, read, made_from(Settings()))
    with pytest.raises(WorkspaceMismatchError, match=r"miner\.pool: \d+ in the run, 61 in the protocol"):
        runner._begin(tmp_path, read, made_from(Settings().changed(miner={"pool": 61})))
