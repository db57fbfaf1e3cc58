"""Which code made the runs of a table, and which finished runs it is not of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serm.benchmarks.arms import Results
from serm.benchmarks.made_by_code import code_version
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.report_tables import ReportTables
from serm.benchmarks.run_record import made_on, versions_differ
from serm.benchmarks.runs import DONE, runs_of
from serm.storage.artifacts import write_json


def test_runs_of_several_versions_are_said_to_be_that(tmp_path: Path) -> None:
    runs = runs_of(tmp_path / "out", ["ours"], [1, 2])
    told = {"serm": "0.1 aaaa", "torch": "2.13.0", "processor": "a Xeon"}
    for done, changed in zip(runs, ({}, {"serm": "0.1 bbbb", "processor": "an EPYC"}), strict=True):
        done.folder.mkdir(parents=True)
        write_json(done.folder / DONE, told | changed)
    assert versions_differ(runs) == (
        "Made by several versions of serm (0.1 aaaa, 0.1 bbbb), processors (a Xeon, an EPYC): "
        "differences may be theirs."
    )
    assert versions_differ(runs[:1]) == ""


def test_a_run_tells_the_code_that_made_it() -> None:
    version, sources = code_version().rsplit(" ", 1)
    assert version
    assert len(sources) == 8
    assert made_on()["serm"] == code_version()


def test_finished_runs_that_were_not_asked_for_are_named(tmp_path: Path) -> None:
    stated = {"name": "small", "config": "c.yaml", "seeds": [1], "baseline": "random"}
    protocol = Protocol.model_validate({**stated, "arms": {"ours": {}, "random": {}}})
    every = runs_of(tmp_path / "out", list(protocol.arms), protocol.seeds)
    for done in every:
        done.folder.mkdir(parents=True)
        write_json(done.folder / DONE, {})
    other = next(arm for arm in protocol.arms if arm != protocol.baseline)
    asked = [run for run in every if run.arm == other]
    table = pd.DataFrame([(run.arm, run.seed, "") for run in asked], columns=["arm", "seed", "fold"])
    left, stands_in = ReportTables(Results(protocol, table, asked), tmp_path / "out").elsewhere
    assert left.startswith(
        f"Not in these tables: {len(every) - len(asked)} finished runs that were not asked"
    )
    assert protocol.baseline in left
    assert stands_in == f"{protocol.baseline} is not among the arms: {other} stands in its place."
