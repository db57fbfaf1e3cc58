"""`serm doctor` on judges that search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from small_data import MakeConfig

from serm.cli import check_judges, check_services
from serm.cli.checks import Check, Examination, Finding, Patient, Status
from serm.core import Settings

SEARCH: Any = {"tool_calls": [{"name": "search_knowledge", "args": {"query": "a"}}]}
SUBMIT: Any = {"tool_calls": [{"name": "submit_grade", "args": {"grade": 1, "reason": "so"}}]}


def findings(config: Path, check: Check) -> list[Finding]:
    with Patient(Settings.from_yaml(config, environment={})) as patient:
        return list(Examination(patient).run("knowledge", check))


def searching(make_config: MakeConfig, *turns: Any, **settings: Any) -> Path:
    judge = {"backend": "scripted:judge.yaml", "name": "ann", "knowledge": True}
    config = make_config(judges=[judge, "replay:judgments.parquet#ben"], **settings)
    config.with_name("judge.yaml").write_text(yaml.safe_dump({"turns": list(turns)}), encoding="utf-8")
    return config


def test_it_shows_that_a_judge_calls_its_tools_without_filling_anything(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    ann, ben = findings(searching(make_config, SEARCH, SUBMIT), check_judges.check_judges)
    assert (ann.status, ben.status) == (Status.PASS, Status.PASS)
    assert ann.sentence == "ann works, SIMULATED."
    silent = searching(make_config, '{"grade": 2}')
    ann, ben = findings(silent, check_judges.check_judges)
    assert (ann.status, ben.status) == (Status.FAIL, Status.PASS)
    assert "answers without calling a tool" in ann.sentence
    assert not (tmp_path / "work").exists()


def test_it_says_where_judges_search_and_whether_the_server_answers(make_config: MakeConfig) -> None:
    (here,) = findings(searching(make_config, SEARCH, SUBMIT), check_services.check_knowledge)
    assert here.status is Status.PASS
    assert here.sentence == "ann may search; the knowledge base is filled in the workspace."
    gone = searching(make_config, SEARCH, SUBMIT, storage={"chroma": "http://127.0.0.1:9"})
    (away,) = findings(gone, check_services.check_knowledge)
    assert away.status is Status.FAIL
    assert "http://127.0.0.1:9" in away.sentence
    assert findings(make_config(), check_services.check_knowledge) == [], "no word where nobody searches"
