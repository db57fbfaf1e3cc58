"""What a run records: whether all runs of a table were made alike, and which is not at its end."""

from __future__ import annotations

import contextlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from small_world import world

from serm.benchmarks import report, report_pairs, runner
from serm.benchmarks.arms import Results
from serm.benchmarks.collect import data_folder
from serm.benchmarks.protocol import read_protocol
from serm.benchmarks.run_record import made_from, require_same, where_and_when
from serm.benchmarks.runner import LOG, prepare, run_protocol
from serm.benchmarks.runs import DONE, Run, runs_of
from serm.cli import benchmark
from serm.cli.main import run
from serm.core.errors import SermError, StorageError, WorkspaceMismatchError
from serm.core.settings_loop import ModelSettings
from serm.graphs import run as graph_run
from serm.graphs.run import EvolutionResult
from serm.storage.artifacts import write_json

MARKET = {
    "windows": 1,
    "queries_per_window": 20,
    "gate_per_window": 5,
    "seed_queries": 10,
    "seed_gate": 5,
    "static_test": 10,
    "last_test": 10,
}


def write_protocol(folder: Path, config: str | None = "serm.yaml", **sections: Any) -> Path:
    """A protocol of one arm and one seed; its config, in the same folder, is there if it is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = {"name": "small", "seeds": [1], "baseline": "ours", "arms": {"ours": {}}}
    if config is not None:
        stated["config"] = config
        base = folder / "base"
        base.mkdir(exist_ok=True)
        (base / "config.json").write_text("{}", encoding="utf-8")  # that no test of this file opens
        (folder / "mlflow.db").touch()  # that `world` looks for; no run here opens it
        values = world(folder, base)
        (folder / "serm.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump({**stated, **sections}), encoding="utf-8")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mlflow.db").touch()  # that `world` copies; no run here opens it
    return tmp_path


def mark_done(file: Path, out: Path, **record: Any) -> Run:
    """The protocol's one run, as `run_once` leaves it; what `record` names is None is not told."""
    protocol = read_protocol(file)
    market = protocol.market(1) if protocol.marketplace else None
    told = made_from(protocol.settings("ours", 1, out), market) | record
    (done,) = runs_of(out, ["ours"], [1])
    write_json(done.folder / DONE, {key: value for key, value in told.items() if value is not None})
    return done


def check(file: Path, out: Path) -> None:
    require_same(read_protocol(file), runs_of(out, ["ours"], [1]), out)


def test_a_run_under_other_settings_is_refused_with_the_keys_that_differ(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    done = mark_done(write_protocol(folder), out)
    check(folder / "small.yaml", out)
    file = write_protocol(folder, arms={"ours": {"training": {"epochs": 3}, "evolution": {"rounds": 2}}})
    for command in (["--tables"], []):
        assert run(["benchmark", str(file), "--out", str(out), *command]) == WorkspaceMismatchError.exit_code
        said = capfd.readouterr().err
        assert str(done.folder) in said
        assert "training.epochs: 1 in the run, 3 in the protocol" in said
        assert "evolution.rounds: null in the run, 2 in the protocol" in said
        assert "`--out`" in said


@pytest.mark.parametrize("key", ["temperature", "path_temperature", "max_tokens"])
def test_answers_of_another_temperature_or_length_are_another_run(folder: Path, key: str) -> None:
    mark_done(write_protocol(folder), folder / "out")
    with pytest.raises(WorkspaceMismatchError, match=rf"llm\.{key}: .* in the run, 99"):
        check(write_protocol(folder, change={"llm": {key: 99}}), folder / "out")


def test_what_changes_no_result_may_change(folder: Path) -> None:
    mark_done(write_protocol(folder), folder / "out")
    changed = {"llm": {"concurrency": 3}, "budget": {"currency": 5.0}, "evaluation": {"resamples": 300}}
    check(write_protocol(folder, change=changed), folder / "out")


@pytest.mark.parametrize("told", [True, False])
def test_one_arm_of_two_protocols_may_be_one_folder(folder: Path, told: bool) -> None:
    """Its paths begin in another folder, its name is another; whether its record tells that folder or not."""
    done = mark_done(write_protocol(folder), folder / "out", **({} if told else {"folder": None}))
    values = yaml.safe_load((folder / "serm.yaml").read_text(encoding="utf-8"))
    values["data"]["sources"][0]["pairs"] = "../../pairs.parquet"
    (folder / "else" / "where").mkdir(parents=True)
    (folder / "else" / "where" / "serm.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    file = write_protocol(
        folder / "other", "../else/where/serm.yaml", arms={"the same": {}}, baseline="the same"
    )
    out = folder / "other" / "out"
    (twin,) = runs_of(out, ["the same"], [1])
    twin.folder.parent.mkdir(parents=True)
    twin.folder.symlink_to(done.folder)
    require_same(read_protocol(file), [twin], out)
    values["data"]["sources"][0]["pairs"] = "../../others.parquet"
    (folder / "else" / "where" / "serm.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(WorkspaceMismatchError, match=r"data\.sources\.0\.pairs"):
        require_same(read_protocol(file), [twin], out)


def test_a_record_of_an_earlier_version_is_compared_as_far_as_it_says_anything(folder: Path) -> None:
    file, out = write_protocol(folder), folder / "out"
    mark_done(file, out, settings=None)
    check(file, out)
    settings = made_from(read_protocol(file).settings("ours", 1, out))["settings"]
    del settings["gate"]["judged_least"]  # came later
    del settings["miner"]["list_size"]
    settings["miner"]["gone"] = True  # there is no such key any more
    mark_done(file, out, settings=settings)
    check(file, out)
    settings["miner"]["pool"] = 61
    mark_done(file, out, settings=settings)
    with pytest.raises(WorkspaceMismatchError, match=r"miner\.pool: 61 in the run, 60"):
        check(file, out)
    (out / "runs" / "ours" / "seed-1" / DONE).write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match="is damaged"):
        check(file, out)


def test_a_run_from_files_that_were_edited_since_is_refused_with_their_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    judge = {"backend": "replay:judgments.parquet#ann", "prompt": "own.yaml"}
    file, out = write_protocol(folder, change={"judges": [judge]}), folder / "out"
    said, pairs = folder / "judgments.parquet", folder / "pairs.parquet"
    prompt, base = folder / "own.yaml", folder / "base"
    prompt.write_text("system: Grade it.", encoding="utf-8")
    pd.DataFrame({"query_id": ["q"], "doc_id": ["d"], "judge": ["ann"], "grade": [1]}).to_parquet(said)
    ends(monkeypatch, stop="the stream has no further window after 1")
    runner.run_once(file, "ours", 1, out)
    check(file, out)
    shutil.copyfile(pairs, folder / "copy.parquet")
    (folder / "copy.parquet").replace(pairs)  # the same rows, written anew
    check(file, out)
    named = {
        "judges.0.backend": said,
        "data.sources.0.pairs": pairs,
        "judges.0.prompt": prompt,
        "model.base": base,
    }
    for key, shown in named.items():
        edited = shown / "config.json" if shown.is_dir() else shown
        before = edited.read_bytes()
        edited.write_bytes(before + b" ")
        for command in (["--tables"], []):
            given = ["benchmark", str(file), "--out", str(out), *command]
            assert run(given) == WorkspaceMismatchError.exit_code
            told = capfd.readouterr().err
            assert f"files that have other contents now ({key}: " in told
            assert shown.name in told
            assert "`--out`" in told
        edited.write_bytes(before)
        check(file, out)
    pairs.unlink()  # results were copied without it
    check(file, out)
    mark_done(file, out)  # of a version that did not tell what it read
    said.write_bytes(b"other")
    check(file, out)


def test_a_file_that_is_edited_while_a_benchmark_runs_is_told_at_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = write_protocol(folder, seeds=[1, 2]), folder / "out"
    ends(monkeypatch, stop="the stream has no further window after 1")
    pairs = folder / "pairs.parquet"

    def tell(line: str) -> None:
        if line.startswith("1/2"):
            pd.read_parquet(pairs).assign(grade=2).to_parquet(pairs)

    with pytest.raises(WorkspaceMismatchError, match=r"seed-1 was made from files that have other"):
        run_protocol(file, out, runs_of(out, ["ours"], [1, 2]), jobs=1, tell=tell)


def test_the_data_set_of_a_run_is_the_one_that_it_used_last(folder: Path) -> None:
    (done,) = runs_of(folder, ["ours"], [1])
    data = done.folder / "workspace" / "data"
    for name in ("0aaa", "1bbb"):  # its stream grew
        write_json(data / name / "dataset.json", {"id": name})
    write_json(data / "current.json", {"id": "1bbb"})
    assert data_folder(done) == data / "1bbb"


def test_pairs_are_shown_of_a_run_that_an_earlier_version_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = write_protocol(folder), folder / "out"
    settings = made_from(read_protocol(file).settings("ours", 1, out))["settings"]
    settings["model"] |= {"gone": True, "batch_size": 5}  # there is no such key any more
    settings["miner"]["gone"] = True
    opened: list[Any] = []
    monkeypatch.setattr(report_pairs, "load_model", lambda *given: opened.append(given[1]))
    monkeypatch.setattr(report_pairs, "score_frame", lambda *_: SimpleNamespace(expected=[1.5]))
    for told in (settings, None):
        done = mark_done(file, out, settings=told)
        workspace = done.folder / "workspace"
        (workspace / "models" / "model").mkdir(parents=True, exist_ok=True)
        assert report_pairs._scores(done, workspace, "model", pd.DataFrame()) == ["1.50"]
    assert [given.batch_size for given in opened] == [5, ModelSettings().batch_size]
    assert report_pairs._scores(done, workspace, "removed", pd.DataFrame({"query_id": ["a", "b"]})) == [
        "–",
        "–",
    ]


def test_a_marketplace_of_another_size_is_refused(folder: Path) -> None:
    out = folder / "out"
    file = write_protocol(folder, None, marketplace={"size": MARKET})
    prepare(read_protocol(file), 1, out)
    mark_done(file, out)
    prepare(read_protocol(file), 1, out)
    check(file, out)
    file = write_protocol(folder, None, marketplace={"size": MARKET | {"static_test": 11}})
    with pytest.raises(WorkspaceMismatchError, match="static_test: 10 in the folder, 11 in the protocol"):
        prepare(read_protocol(file), 1, out)
    with pytest.raises(WorkspaceMismatchError, match=r"marketplace\.static_test: 10 in the run, 11"):
        check(file, out)
    (out / "data" / "seed-1" / "market.json").unlink()  # as an earlier version left it
    prepare(read_protocol(file), 1, out)


def test_a_report_says_when_and_where_its_runs_ended_and_not_where_it_was_written(folder: Path) -> None:
    file, out = write_protocol(folder, seeds=[1, 2, 3]), folder / "out"
    told = {"ended": "2026-01-03", "machine": "x86_64", "cores": 2, "python": "3.12.3"}
    runs = runs_of(out, ["ours"], [1, 2, 3])
    for done, changed in zip(runs[:2], ({}, {"ended": "2026-01-05", "cores": 16}), strict=True):
        write_json(done.folder / DONE, told | changed)
    said = "2026-01-03 to 2026-01-05, x86_64 with 16 cores and x86_64 with 2 cores, Python 3.12.3"
    assert where_and_when(runs) == said
    assert where_and_when(runs[:1]) == "2026-01-03, x86_64 with 2 cores, Python 3.12.3"
    table = pd.DataFrame([("ours", seed, "") for seed in (1, 2)], columns=["arm", "seed", "fold"])
    results = Results(read_protocol(file), table, runs)
    assert report.made_by(results) == f"serm benchmark small.yaml, seeds 1, 2, {said}."
    mark_done(file, out)  # of an earlier version, which does not tell
    assert where_and_when(runs[:1]).startswith(datetime.now(UTC).date().isoformat())


def ends(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """Have every run of this process end so."""

    def evolve(settings: Any) -> EvolutionResult:
        return EvolutionResult(settings.workspace_path, (), "model", **how)

    def start(file: Path, out: Path, of: Run, *_: object) -> int:
        of.folder.mkdir(parents=True, exist_ok=True)
        with (of.folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
            return runner.main([str(file), of.arm, str(of.seed), str(out), of.fold])

    monkeypatch.setattr(graph_run, "evolve", evolve)
    monkeypatch.setattr(runner, "_start", start)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"stop": "waiting for a person", "waiting": 7}, "7 pairs wait for a person. Grade them by `serm"),
        ({"stop": "waiting for a person", "question": "go on?"}, "the supervisor asks a person: go on?"),
        ({"stop": "the budget of 5 is spent", "out_of_money": True}, "the budget of 5 is spent. Raise"),
    ],
)
def test_a_run_that_waits_is_not_done_and_goes_on_later(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: dict[str, Any],
    said: str,
) -> None:
    command = ["benchmark", str(write_protocol(folder)), "--out", str(folder / "out")]
    (waits,) = runs_of(folder / "out", ["ours"], [1])
    ends(monkeypatch, **how)
    assert run(command) == 1
    assert not waits.done
    told = capfd.readouterr()
    assert f"0/1 ours, seed 1: serm: {said}" in told.out
    assert "1 of 1 runs are not at their end: ours (seed 1)." in told.err
    assert said in told.err
    monkeypatch.setattr(benchmark, "_write", lambda *given: None)  # there is nothing to collect
    ends(monkeypatch, stop="the stream has no further window after 1")
    assert run(command) == 0
    record = json.loads((waits.folder / DONE).read_text(encoding="utf-8"))
    assert record["stop"] == "the stream has no further window after 1"
    assert {"ended", "machine", "cores", "python"} <= record.keys()
    check(folder / "small.yaml", folder / "out")


def test_tables_that_cannot_be_written_do_not_hide_a_run_that_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = write_protocol(folder, seeds=[1, 2])
    mark_done(file, folder / "out")

    def fails(*given: object) -> int:
        given[2].folder.mkdir(parents=True, exist_ok=True)  # type: ignore[attr-defined]
        (given[2].folder / LOG).write_text("it broke\n", encoding="utf-8")  # type: ignore[attr-defined]
        return 1

    def lost(*_: object) -> None:
        raise SermError("a file is missing.")

    monkeypatch.setattr(runner, "_start", fails)
    monkeypatch.setattr(report, "write_report", lost)
    assert run(["benchmark", str(file), "--out", str(folder / "out")]) == 1
    told = capfd.readouterr()
    assert "1 of 2 runs failed: ours (seed 2)." in told.err
    assert "No tables: a file is missing." in told.out
    assert run(["benchmark", str(file), "--out", str(folder / "out"), "--tables"]) == 1
    assert "a file is missing." in capfd.readouterr().err
