"""`serm agreement` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from serm.cli.main import run
from serm.core.records import Label, Outcome
from serm.storage.labels import read_labels, write_labels
from serm.storage.labels_io import write_labels_as

HUMAN = [0, 1, 2, 3] * 10


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    labels = [
        Label(
            query_id=f"q{row // 4}",
            doc_id=f"d{row}",
            grade=None if row % 5 == 0 else grade,
            distribution=(0.25, 0.25, 0.25, 0.25),
            outcome=Outcome.DROPPED if row % 5 == 0 else Outcome.MAJORITY,
            votes=(("ann", grade), ("ben", (grade + row % 2) % 4), ("cy", None)),
            cost=0.01,
        )
        for row, grade in enumerate(HUMAN)
    ]
    write_labels(labels, tmp_path / "labels.parquet")
    gold = pd.DataFrame([(label.query_id, label.doc_id) for label in labels], columns=["query_id", "doc_id"])
    gold.assign(grade=HUMAN).to_csv(tmp_path / "gold.csv", index=False)
    return tmp_path / "labels.parquet", tmp_path / "gold.csv"


def test_it_tells_of_the_panel_and_of_each_judge_within_80_columns(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    labels, gold = files
    assert run(["agreement", str(labels), "--gold", str(gold), "--resamples", "100"]) == 0
    said = capsys.readouterr().out
    assert "40 labels, 32 kept; of 40 there is a human grade." in said
    for part in ("panel", "ann", "ben", "cy", "majority", "dropped", "100.0%", "precision", "a kept label"):
        assert part in said
    assert "0.0125 a kept label" in said
    assert max(map(len, said.splitlines())) <= 80
    (row,) = (line for line in said.splitlines() if line.strip().startswith("panel  "))
    assert row.split()[1:4] == ["32", "1.000", "1.000"]


def test_json_and_a_picture(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    labels, gold = files
    picture = labels.parent / "new" / "matrix.png"
    arguments = ["agreement", str(labels), "--gold", str(gold), "--json", "--png", str(picture)]
    assert run([*arguments, "--resamples", "100"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["panel"]["measures"]["kappa"]["mean"] == 1.0
    assert [judge["name"] for judge in report["judges"]] == ["ann", "ben", "cy"]
    assert report["judges"][2]["graded"] == 0
    assert report["judges"][2]["measures"]["kappa"]["mean"] is None
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".qrels"])
def test_every_format_of_labels_says_the_same_of_the_panel(
    files: tuple[Path, Path], ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, gold = files
    other = labels.with_suffix(ending)
    write_labels_as(read_labels(labels), other)
    assert run(["agreement", str(other), "--gold", str(gold), "--json", "--resamples", "100"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["panel"]["graded"], report["panel"]["measures"]["qwk"]["mean"]) == (32, 1.0)
    assert len(report["judges"]) == (0 if ending == ".qrels" else 3)
    assert len(report["outcomes"]) == (0 if ending == ".qrels" else 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--gold", "nowhere.csv"], "there is no such file"),
        (["--png", "matrix.txt"], "no name of a picture"),
        (["--level", "2"], "--level is 2"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], change: list[str], said: str
) -> None:
    labels, gold = files
    assert run(["agreement", str(labels), "--gold", str(gold), *change]) in {2, 3}
    assert said in capsys.readouterr().err
