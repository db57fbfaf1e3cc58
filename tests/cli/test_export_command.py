"""`serm models export`: what is opened without serm ranks as serm does, and what it leaves out is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sentence_transformers import CrossEncoder, SentenceTransformer
from small_world import world

from serm.cli.main import run
from serm.core import Settings
from serm.core.settings_loop import ModelSettings
from serm.graphs.resources import Resources
from serm.relevance_model import encoder
from serm.relevance_model.exporting import export_model, left_to_the_caller
from serm.relevance_model.loading import open_base

QUERY = "red lamp for the home"
DOCUMENTS = [
    "red lamp",
    "lamp",
    "a golden violin with small fine strong new cheap large home",
    "blue chair for the home",
    "shoe",
]


def saved(settings: ModelSettings, folder: Path) -> Path:
    open_base(settings, None).save(folder)
    return folder


@pytest.fixture
def settings(tiny_encoder: Path) -> ModelSettings:
    return ModelSettings(base=str(tiny_encoder), max_length=32, device="cpu", precision="float32")


def changed_base(tiny_encoder: Path, folder: Path, **values: Any) -> Path:
    """The same encoder with other values in its config."""
    shutil.copytree(tiny_encoder, folder)
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


def test_a_base_whose_likeness_is_the_dot_product_is_exported_with_the_cosine(
    settings: ModelSettings, tiny_encoder: Path, tmp_path: Path
) -> None:
    whole = SentenceTransformer(str(tiny_encoder), device="cpu")
    base = SentenceTransformer(modules=[whole[0], whole[1]], device="cpu", similarity_fn_name="dot")
    base.save(str(tmp_path / "base"))
    settings = settings.model_copy(update={"base": str(tmp_path / "base")})
    export_model(saved(settings, tmp_path / "model"), tmp_path / "champion")
    opened = SentenceTransformer(str(tmp_path / "champion"), device="cpu")
    found = opened.similarity(opened.encode_query([QUERY]), opened.encode_document(DOCUMENTS))[0].numpy()
    model = open_base(settings, None)
    cosines = (model.embed_queries([QUERY]) * model.embed_documents(DOCUMENTS)).sum(axis=1)
    np.testing.assert_allclose(found, cosines, atol=1e-5)


@pytest.mark.parametrize("kind", ["biencoder", "crossencoder"])
def test_a_prompt_that_a_base_puts_before_everything_is_not_in_an_export(
    settings: ModelSettings, tiny_encoder: Path, tmp_path: Path, kind: str
) -> None:
    base = changed_base(
        tiny_encoder, tmp_path / "base", prompts={"s2p": "the red "}, default_prompt_name="s2p"
    )
    own = settings.model_copy(update={"base": str(base), "kind": kind})
    export_model(saved(own, tmp_path / "model"), tmp_path / "champion")
    opened = {"biencoder": SentenceTransformer, "crossencoder": CrossEncoder}[kind](
        str(tmp_path / "champion"), device="cpu"
    )
    assert opened.default_prompt_name is None
    if isinstance(opened, SentenceTransformer):
        vectors = open_base(settings, None).embed_documents(DOCUMENTS)
        np.testing.assert_allclose(opened.encode(DOCUMENTS), vectors, atol=1e-5)


def test_prefixes_that_predict_does_not_add_are_told(settings: ModelSettings, tmp_path: Path) -> None:
    prefixes = {"query_prefix": "query: ", "document_prefix": "text: "}
    told = [
        left_to_the_caller(saved(settings.model_copy(update=values), tmp_path / str(number)))
        for number, values in enumerate(
            [
                prefixes,
                {"kind": "crossencoder"},
                {"kind": "crossencoder", "query_prefix": "query: "},
                {"kind": "crossencoder"} | prefixes,
            ]
        )
    ]
    assert told == [
        "",
        "",
        "`predict` of a cross-encoder adds no prefixes: put `query: ` before each query.",
        "`predict` of a cross-encoder adds no prefixes: put `query: ` before each query and `text: ` before "
        "each document.",
    ]


def test_the_command_says_what_an_export_leaves_to_the_caller_and_scoring_reads_a_run_s_vectors(
    tiny_encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two workspaces whose champion is the untrained model: MLflow takes its time, and so one test."""
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query_id": "1", "query": QUERY, "doc_id": str(n), "text": t} for n, t in enumerate(DOCUMENTS)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for kind in ("crossencoder", "biencoder"):
        values = world(tmp_path / kind, tiny_encoder)
        values["model"] |= {"kind": kind, "query_prefix": "the "}
        values["training"] |= {"freeze_layers": 1}
        config = tmp_path / kind / "serm.yaml"
        config.write_text(yaml.safe_dump(values))
        with Resources(Settings.from_yaml(config)) as resources:
            key = resources.models.untrained()
            resources.register(key, round=0, role="untrained", alias="champion")
            resources.models.open(key).score([QUERY] * len(DOCUMENTS), DOCUMENTS)
        assert run(["models", "export", str(config), str(tmp_path / kind / "champion")]) == 0
        told = "put `the ` before each query" in capsys.readouterr().out
        assert told == (kind == "crossencoder")
        if kind == "biencoder":
            monkeypatch.setattr(encoder, "shards_of", nothing_to_read)
            assert run(["score", str(config), str(pairs), "--out", str(tmp_path / "scores.csv")]) == 0


def nothing_to_read(missing: Sequence[str], *_: object) -> list[list[str]]:
    assert not missing
    return []
