"""`serm score`, `serm models export` and `open_model`: the evolved model at the place where it ranks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sentence_transformers import SentenceTransformer
from small_world import MLFLOW, distinct_pairs, registry_of, world

from serm.cli.main import run
from serm.core import Settings
from serm.core.errors import ModelError
from serm.graphs import evolve, open_model
from serm.relevance_model.loading import load_model
from serm.relevance_model.registry import PRUNED, WEIGHTS
from serm.relevance_model.shards import Reader
from serm.storage import scores_io
from serm.storage.workspace import Workspace

PAIRS = [
    {"query_id": "1", "query": "red lamp", "doc_id": "a", "title": "lamp", "text": "red lamp", "grade": 3},
    {"query_id": "1", "query": "red lamp", "doc_id": "b", "title": "", "text": "blue violin", "grade": 0},
    {"query_id": "2", "query": "green shoe", "doc_id": "a", "title": "lamp", "text": "red lamp", "grade": 0},
    {"query_id": "2", "query": "green shoe", "doc_id": "c", "title": "", "text": "green shoe", "grade": 2},
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A workspace after one round: version 1 is untrained, another the champion. Queries get a prefix."""
    folder = tmp_path_factory.mktemp("score")
    values = world(folder, tiny_encoder, distinct_pairs(30), miner={"passes": 2, "pool": 40})
    values["model"] |= {"query_prefix": "the "}
    path = folder / "serm.yaml"
    path.write_text(yaml.safe_dump(values))
    evolve(Settings.from_yaml(path), rounds=1)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    return file


def texts() -> tuple[list[str], list[str]]:
    documents = [f"{row['title']}\n{row['text']}" if row["title"] else str(row["text"]) for row in PAIRS]
    return [str(row["query"]) for row in PAIRS], documents


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_each_pair_has_the_score_that_the_champion_gives_in_python(
    config: Path, pairs: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = pairs.parent / "new" / f"scores.{ending}"
    assert run(["score", str(config), str(pairs), "--out", str(out)]) == 0
    read = {
        "parquet": pd.read_parquet,
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True),
    }
    scores = read[ending](out)
    assert list(scores) == ["query_id", "doc_id", "score", "p0", "p1", "p2", "p3"]
    assert scores["doc_id"].tolist() == [row["doc_id"] for row in PAIRS]
    given = open_model(Settings.from_yaml(config)).score(*texts())
    np.testing.assert_allclose(scores["score"], given.expected, atol=1e-6)
    np.testing.assert_allclose(scores[["p0", "p1", "p2", "p3"]], given.probabilities, atol=1e-6)
    told = capsys.readouterr().out
    assert "4 pairs of 2 queries scored by version" in told
    assert "By its grades, 2 queries with more than one: NDCG@" in told
    assert not list(out.parent.glob("*rejects*"))


def test_a_run_has_each_query_s_documents_the_best_first(config: Path, pairs: Path) -> None:
    out = pairs.parent / "scores.run"
    assert run(["score", str(config), str(pairs), "--out", str(out), "--version", "1"]) == 0
    rows = [line.split() for line in out.read_text().splitlines()]
    expected = open_model(Settings.from_yaml(config), 1).score(*texts()).expected
    by_pair = {(row["query_id"], row["doc_id"]): score for row, score in zip(PAIRS, expected, strict=True)}
    assert [(row[0], row[1], row[3], row[5]) for row in rows] == [
        ("1", "Q0", "1", "serm-v1"),
        ("1", "Q0", "2", "serm-v1"),
        ("2", "Q0", "1", "serm-v1"),
        ("2", "Q0", "2", "serm-v1"),
    ]
    for row in rows:
        assert np.float32(row[4]) == by_pair[row[0], row[2]]
    assert float(rows[0][4]) > float(rows[1][4])
    assert float(rows[2][4]) > float(rows[3][4])


def test_bad_rows_and_repeated_pairs_are_named_in_a_file_and_the_others_scored(
    config: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{"query_id": "3", "query": " ", "doc_id": "a", "text": "x"}, PAIRS[0]]
    with pairs.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in bad)
    out = pairs.parent / "scores.csv"
    assert run(["score", str(config), str(pairs), "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 4
    assert "2 rows of" in capsys.readouterr().out
    (rejects,) = pairs.parent.glob("*rejects.jsonl")
    assert [json.loads(line)["row"] for line in rejects.read_text().splitlines()] == [5, 6]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{config}", "{pairs}", "--out", "scores.xls"], ".parquet, .csv, .jsonl, .run"),
        (["{config}", "{pairs}", "--out", "{pairs}"], "would take the place of PAIRS"),
        (
            ["{config}", "{pairs}", "--out", "scores.csv", "--version", "99"],
            "there is no version 99. Versions: 1,",
        ),
        (["{config}", "nowhere.jsonl", "--out", "scores.csv"], "there is no such file"),
        (["nowhere.yaml", "{pairs}", "--out", "folder.csv"], "folder.csv is a folder"),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_sentence(
    *,
    config: Path,
    pairs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(pairs.parent)
    Path("folder.csv").mkdir()
    assert run(["score", *(word.format(config=config, pairs=pairs) for word in arguments)]) not in (0, 70)
    assert told in " ".join(capsys.readouterr().err.split())
    assert not list(pairs.parent.glob("scores.*"))


def _reads_nothing(*_: object) -> None:
    raise AssertionError("a text was encoded")


def test_an_id_that_a_run_cannot_hold_is_told_before_anything_is_encoded(
    config: Path, pairs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs.write_text(json.dumps(PAIRS[0] | {"doc_id": "a b"}) + "\n")
    monkeypatch.setattr(Reader, "__call__", _reads_nothing)
    assert run(["score", str(config), str(pairs), "--out", str(pairs.parent / "scores.run")]) == 3
    assert "the id `a b` has a blank in it, which TREC runs cannot hold" in capsys.readouterr().err
    assert not list(pairs.parent.glob("*scores*"))


def test_what_was_encoded_is_kept_in_the_workspace(
    config: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row | {"text": f"{row['text']} for the home"} for row in PAIRS]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = pairs.parent / "scores.csv"

    def dies(path: Path, write: Callable[[Path], None]) -> None:
        """In the last moment: all is scored, and nothing of the file is there."""
        write(path.with_suffix(".half"))
        raise KeyboardInterrupt

    monkeypatch.setattr(scores_io, "write_file", dies)
    assert run(["score", str(config), str(pairs), "--out", str(out)]) != 0
    monkeypatch.undo()
    assert not out.exists()
    monkeypatch.setattr(Reader, "__call__", _reads_nothing)
    assert run(["score", str(config), str(pairs), "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == len(PAIRS)


def test_a_workspace_at_work_is_scored_with_all_the_same(config: Path, pairs: Path) -> None:
    with Workspace.open(Settings.from_yaml(config)):
        assert run(["score", str(config), str(pairs), "--out", str(pairs.parent / "scores.csv")]) == 0


def test_an_exported_model_ranks_by_its_cosine_alone_as_the_champion_does(
    config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "serve" / "champion"
    assert run(["models", "export", str(config), str(folder)]) == 0
    queries, documents = texts()
    given = open_model(Settings.from_yaml(config)).score(queries, documents)
    again = load_model(folder, Settings.from_yaml(config).model, None).score(queries, documents)
    np.testing.assert_array_equal(again.expected, given.expected)
    encoder = SentenceTransformer(str(folder), device="cpu")
    found = encoder.similarity_pairwise(
        encoder.encode_query(queries), encoder.encode_document(documents)
    ).numpy()
    assert np.argsort(found).tolist() == np.argsort(given.expected).tolist()
    vectors = open_model(Settings.from_yaml(config)).embed_queries(queries)
    assert (encoder.encode_query(queries) * vectors).sum(axis=1).min() > 0.999, "the prefix is in its prompts"


def test_an_export_takes_no_other_folder_s_place(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").mkdir()
    assert run(["models", "export", str(config), str(tmp_path / "precious")]) == 7
    assert "is there already" in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["precious"]


def test_pruned_weights_and_a_workspace_without_rounds_are_told(
    config: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = Settings.from_yaml(config)
    registry = registry_of(settings)
    registry.set_tag(1, WEIGHTS, PRUNED)
    with pytest.raises(ModelError, match="the weights of version 1 were pruned"):
        open_model(settings, 1)
    registry.set_tag(1, WEIGHTS, "kept")
    shutil.rmtree(settings.workspace_path / "models" / registry.find(1).model_id)
    with pytest.raises(ModelError, match="the weights of version 1 are not in"):
        open_model(settings, 1)
    values = world(tmp_path, tiny_encoder, distinct_pairs(30))
    (tmp_path / "serm.yaml").write_text(yaml.safe_dump(values))
    empty = Settings.from_yaml(tmp_path / "serm.yaml")
    with Workspace.open(empty):
        pass
    with pytest.raises(ModelError, match="there is no champion yet"):
        open_model(empty)


def test_a_registry_that_was_lost_is_made_anew_though_no_round_is_left(
    config: Path, tmp_path: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = registry_of(Settings.from_yaml(config)).versions()
    empty = shutil.copyfile(tiny_encoder.parent / MLFLOW, tmp_path / MLFLOW)
    values = yaml.safe_load(config.read_text()) | {"storage": {"mlflow": f"sqlite:///{empty}"}}
    elsewhere = config.with_name("elsewhere.yaml")
    elsewhere.write_text(yaml.safe_dump(values))
    settings = Settings.from_yaml(elsewhere)
    assert run(["models", str(elsewhere)]) == 0
    assert "`serm evolve` registers those that there are" in capsys.readouterr().out
    assert evolve(settings, rounds=1).stop
    assert [item.model_id for item in registry_of(settings).versions()] == [item.model_id for item in known]
    assert [item.aliases for item in registry_of(settings).versions()] == [item.aliases for item in known]
