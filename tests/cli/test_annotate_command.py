"""`serm annotate` without a server: formats, bad rows, recordings, refusals."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from serm.cli.main import run
from serm.storage.labels_io import read_labels_any

Out = pytest.CaptureFixture[str]
Command = Callable[..., list[str]]

PAIRS = pd.DataFrame(
    [
        (f"q{n // 4}", f"a query {n // 4}", f"d{n}", f"title {n}", f"a text of document {n}", n % 4)
        for n in range(40)
    ],
    columns=["query_id", "query", "doc_id", "title", "text", "grade"],
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`serm annotate` in a folder with pairs.csv and two recorded judges: ann is right, ben says 1."""
    monkeypatch.chdir(tmp_path)
    PAIRS.to_csv("pairs.csv", index=False)
    said = [PAIRS[["query_id", "doc_id", "grade"]].assign(judge="ann")]
    said.append(said[0].assign(judge="ben", grade=1))
    pd.concat(said).to_csv("said.csv", index=False)
    judges = ["replay:said.csv#ann", "replay:said.csv#ben"]
    Path("judges.yaml").write_text(yaml.safe_dump({"judges": judges}), encoding="utf-8")

    def make(out: str, *more: str, pairs: str = "pairs.csv") -> list[str]:
        return ["annotate", pairs, "--config", "judges.yaml", "--out", out, *more]

    return make


def test_a_config_of_judges_alone_is_enough_and_the_table_tells_what_came_of_it(
    command: Command, capfd: Out
) -> None:
    assert run(command("labels.parquet")) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for text in (
        "ann",
        "ben",
        "40 pairs: 10 unanimous, 30 dropped, 0 failed.",
        "Labels: labels.parquet, 40 rows.",
    ):
        assert text in out
    labels = read_labels_any(Path("labels.parquet"))
    assert list(labels["doc_id"]) == list(PAIRS["doc_id"])
    assert set(labels.dropna(subset=["grade"])["grade"]) == {1}
    assert sorted(item.name for item in Path().iterdir()) == [
        ".serm",
        "judges.yaml",
        "labels.parquet",
        "pairs.csv",
        "said.csv",
    ], "no rejects file where nothing was rejected"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_every_format_holds_the_same_labels(command: Command, ending: str) -> None:
    assert run(command("first.parquet")) == 0
    assert run(command(f"second.{ending}")) == 0
    first, second = (read_labels_any(Path(name)) for name in ("first.parquet", f"second.{ending}"))
    pd.testing.assert_frame_equal(first, second)


def test_qrels_say_what_they_leave_out(command: Command, capfd: Out) -> None:
    assert run(command("labels.qrels")) == 0
    assert "30 pairs without a grade" in capfd.readouterr().out
    assert Path("labels.qrels").read_text().splitlines()[0] == "q0 0 d1 1"


def test_bad_rows_are_left_out_counted_and_named(command: Command, capfd: Out) -> None:
    bad = PAIRS.astype({"grade": object})
    bad.loc[3, "query_id"], bad.loc[5, "grade"] = "", 9
    pd.concat([bad, bad.iloc[[0]]]).to_csv("pairs.csv", index=False)
    assert run(command("labels.csv")) == 0
    assert "3 rows" in capfd.readouterr().out
    assert len(read_labels_any(Path("labels.csv"))) == 38
    rejects = pd.read_json("labels.csv.pairs.rejects.jsonl", lines=True)
    assert list(zip(rejects["row"], rejects["field"], strict=True)) == [
        (4, "query_id"),
        (6, "grade"),
        (41, "doc_id"),
    ]


def test_trec_files_bring_their_texts_from_elsewhere_and_columns_may_have_other_names(
    command: Command,
) -> None:
    Path("pairs.qrels").write_text(
        "".join(f"{q} 0 {d} 0\n" for q, d in PAIRS[["query_id", "doc_id"]].to_numpy())
    )
    PAIRS[["query_id", "query"]].drop_duplicates().to_csv("queries.tsv", sep="\t", index=False)
    PAIRS[["doc_id", "title", "text"]].to_json("corpus.jsonl", orient="records", lines=True)
    texts = ("--queries", "queries.tsv", "--corpus", "corpus.jsonl")
    assert run(command("labels.csv", *texts, pairs="pairs.qrels")) == 0
    PAIRS.rename(columns={"text": "passage"}).to_json("other.jsonl", orient="records", lines=True)
    assert run(command("again.csv", "--column", "text=passage", pairs="other.jsonl")) == 0
    assert Path("labels.csv").read_text() == Path("again.csv").read_text()


def test_gold_weighs_the_judges(command: Command, capfd: Out) -> None:
    gold = pd.concat([PAIRS.assign(query_id=PAIRS["query_id"] + end) for end in ("a", "b")])
    gold.to_parquet("gold.parquet")
    said = pd.read_csv("said.csv")
    more = [said.assign(query_id=said["query_id"] + end) for end in ("a", "b")]
    pd.concat([said, *more]).to_csv("said.csv", index=False)
    assert run(command("labels.csv", "--rule", "reliability", "--gold", "gold.parquet")) == 0
    assert "Calibration: 80 human-graded pairs" in capfd.readouterr().out
    labels = read_labels_any(Path("labels.csv"))
    kept = labels.dropna(subset=["grade"])
    assert (kept["grade"] == PAIRS.loc[kept.index, "grade"]).all(), "the one who is right is followed"
    assert len(kept) > 25


def test_bad_rows_of_the_gold_are_named_in_a_file_of_their_own(command: Command) -> None:
    said = pd.read_csv("said.csv")
    pd.concat([said, said.assign(query_id="x" + said["query_id"])]).to_csv("said.csv", index=False)
    Path("other").mkdir()
    gold = PAIRS.assign(query_id="x" + PAIRS["query_id"]).astype({"grade": object})
    gold.loc[7, "grade"] = 9
    gold.to_csv("other/pairs.csv", index=False)
    bad = PAIRS.copy()
    bad.loc[3, "query_id"] = ""
    bad.to_csv("pairs.csv", index=False)
    assert run(command("labels.csv", "--rule", "reliability", "--gold", "other/pairs.csv")) == 0
    files = [pd.read_json(f"labels.csv.pairs.{role}rejects.jsonl", lines=True) for role in ("", "gold-")]
    assert [list(zip(file["row"], file["field"], strict=True)) for file in files] == [
        [(4, "query_id")],
        [(8, "grade")],
    ]


def test_a_place_that_cannot_be_written_is_told_with_a_remedy(
    command: Command, capfd: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def refused(path: Path, *args: object, **options: object) -> None:
        if path == Path("closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        make(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", refused)
    assert run(command("closed/labels.csv")) == 12
    assert "closed cannot be written: permission is denied" in capfd.readouterr().err


def test_a_recording_of_the_judges_is_replayed(command: Command) -> None:
    assert run(command("labels.csv", "--record", "recorded.parquet")) == 0
    judges = [f"replay:recorded.parquet#{name}" for name in ("ann", "ben")]
    Path("judges.yaml").write_text(yaml.safe_dump({"judges": judges}), encoding="utf-8")
    assert run(command("again.csv")) == 0
    assert Path("again.csv").read_text() == Path("labels.csv").read_text()


@pytest.mark.parametrize(
    ("more", "out", "code", "says"),
    [
        ((), "labels.xlsx", 2, "not written as `.xlsx`"),
        (("--record", "said.txt"), "labels.csv", 2, "not written as `.txt`"),
        (("--rule", "loudest"), "labels.csv", 2, "no agreement rule `loudest`"),
        (("--rule", "reliability"), "labels.csv", 2, "--gold PAIRS"),
        (("--column", "text"), "labels.csv", 2, "renames nothing"),
        (("--retry-failed",), "labels.csv", 3, "no such file"),
        (("--gold", "none.csv"), "labels.csv", 3, "none.csv"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    command: Command, capfd: Out, *, more: tuple[str, ...], out: str, code: int, says: str
) -> None:
    assert run(command(out, *more)) == code
    assert says in capfd.readouterr().err
    assert not Path(out).exists()


def test_qrels_cannot_be_retried(command: Command, capfd: Out) -> None:
    assert run(command("labels.qrels")) == 0
    assert run(command("labels.qrels", "--retry-failed")) == 2
    assert "qrels hold grades alone" in capfd.readouterr().err


def test_labels_that_hold_a_pair_twice_are_refused_before_anybody_is_asked(
    command: Command, capfd: Out
) -> None:
    label = '{"query_id": "q0", "doc_id": "d0", "grade": null, "outcome": "failed"}\n'
    Path("labels.jsonl").write_text(f"{label}\n{label.replace('d0', 'd1')}{label}")
    before = set(Path().rglob("*"))
    assert run(command("labels.jsonl", "--retry-failed")) == 3
    told = capfd.readouterr().err
    assert "file labels.jsonl, row 4: the pair q0, d0 has a label in row 1 as well." in told
    assert set(Path().rglob("*")) == before, "nothing was asked, and nothing written"


def test_simulated_judges_are_called_simulated(command: Command, capfd: Out) -> None:
    judges = [f"simulated:accuracy=0.9,shared=0.5,seed=1#{name}" for name in ("eve", "sam")]
    Path("judges.yaml").write_text(yaml.safe_dump({"judges": judges}), encoding="utf-8")
    assert run(command("labels.csv", "--record", "said.parquet")) == 0
    assert "SIMULATED judges: eve, sam" in capfd.readouterr().out
    assert pd.read_parquet("said.parquet")["simulated"].all()


def test_the_doctor_looks_at_judges_where_there_is_no_data(command: Command, capfd: Out) -> None:
    assert run(command("labels.csv")) == 0
    assert run(["doctor", "judges.yaml"]) == 0
    out = capfd.readouterr().out
    assert "for `serm annotate` alone" in out
    assert "ann works" in out


def test_a_folder_that_pairs_were_annotated_in_is_no_strangers_to_the_doctor(command: Command) -> None:
    from serm.cli.check_services import check_workspace
    from serm.cli.checks import Patient, Status
    from serm.core import Settings

    assert run(command("labels.csv")) == 0
    with Patient(Settings.from_yaml("judges.yaml")) as patient:
        assert [finding.status for finding in check_workspace(patient)] == [Status.PASS]


def test_a_config_of_judges_alone_runs_no_loop(command: Command, capfd: Out) -> None:
    assert run(["evolve", "judges.yaml"]) == 2
    assert "the config names no data" in capfd.readouterr().err
    assert not Path(".serm").exists()


def test_its_traces_are_found_by_the_config_and_by_the_workspace(command: Command, capfd: Out) -> None:
    assert run(command("labels.csv")) == 0
    capfd.readouterr()
    for place in ("judges.yaml", ".serm", ".serm/annotate"):
        assert run(["trace", place]) == 0
        assert "judge ann" in capfd.readouterr().out
    assert run(["trace", "judges.yaml", "--pair", "q0", "d0"]) == 0
    assert "d0" in capfd.readouterr().out


def test_a_model_that_does_not_decide_for_the_chair_is_told_of(command: Command, capfd: Out) -> None:
    config = yaml.safe_load(Path("judges.yaml").read_text(encoding="utf-8"))
    config |= {"agents": {"llm": "http://127.0.0.1:9/v1#none"}, "llm": {"retries": 0, "timeout": 5.0}}
    Path("judges.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert run(command("labels.csv")) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "did not decide for chair: the model failed: " in told
    assert "Rules did in its place." in told
    assert read_labels_any(Path("labels.csv"))["grade"].notna().any()
