"""A judge whose server gives log-probabilities, over HTTP: distributions, the mass outside, and the proof."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from chat_stub import ChatStub, Move, Raw, Say, completion, grade
from typer.testing import CliRunner

from serm.agents.panel import open_panel
from serm.agents.proof import Proof
from serm.cli.main import app
from serm.core import Pair, Settings
from serm.storage.judgments import JudgmentStore

SettingsWith = Callable[..., Settings]
PairsOf = Callable[..., list[Pair]]

LIKELY = {"0": 0.1, "1": 0.2, "2": 0.5, "3": 0.1, "null": 0.1}


def with_logprobs(value: int, likely: dict[str, float]) -> Raw:
    """An answer with its tokens, the grade's one as likely as this."""
    texts = ['{"', "grade", '":', " ", str(value), ', "reason": "ü"}']
    answer = completion(Say("".join(texts)))

    def listed(text: str) -> list[dict[str, Any]]:
        shares = likely if text == str(value) else {text: 1.0}
        return [{"token": name, "logprob": math.log(share)} for name, share in shares.items()]

    content = [{"token": text, "logprob": 0.0, "top_logprobs": listed(text)} for text in texts]
    answer["choices"][0]["logprobs"] = {"content": content}
    return Raw(json.dumps(answer).encode())


def test_a_judgment_bears_the_distribution_behind_its_grade_and_the_mass_outside(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: with_logprobs(1, LIKELY)
    with open_panel(settings_with(f"{stub.url}#stub")) as panel:
        report = panel.judge("stub", pairs("a", "b"), store)
    assert all((body["logprobs"], body["top_logprobs"]) == (True, 20) for body in stub.bodies)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert judgment.grade == 1, "the grade is what the text says, though 2 was likelier"
    assert judgment.distribution == pytest.approx((1 / 9, 2 / 9, 5 / 9, 1 / 9))
    assert judgment.outside == pytest.approx(0.1)
    assert report.outside == pytest.approx(0.1)
    assert report.summary()["outside"] == report.outside


def test_over_several_paths_the_distributions_are_averaged(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    says = [(2, {"2": 0.8, "1": 0.2}), (1, {"2": 0.4, "1": 0.4, "x": 0.2}), (2, {"2": 1.0})]
    stub.play = lambda body, times: with_logprobs(*says[times])
    with open_panel(settings_with(f"{stub.url}#stub", agreement={"paths": 3})) as panel:
        panel.judge("stub", pairs("a"), store)
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (judgment.grade, judgment.paths) == (2, (2, 1, 2))
    assert judgment.distribution == pytest.approx((0, 0.7 / 3, 2.3 / 3, 0))
    assert judgment.outside == pytest.approx(0.2 / 3)


def test_a_server_that_gives_none_is_asked_for_them_once(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    with open_panel(settings_with(f"{stub.url}#stub", llm={"concurrency": 1})) as panel:
        report = panel.judge("stub", pairs("a", "b", "c"), store)
    assert ["logprobs" in body for body in stub.bodies] == [True, False, False]
    (judgment,) = store.for_pair("q-a", "d-a")
    assert (judgment.distribution, judgment.outside, report.outside) == (None, None, None)
    assert "outside" not in report.summary()


def test_a_judge_whose_logprobs_are_off_is_never_asked_for_them(
    stub: ChatStub, store: JudgmentStore, settings_with: SettingsWith, pairs: PairsOf
) -> None:
    stub.play = lambda body, times: with_logprobs(1, LIKELY)
    judge = {"backend": f"{stub.url}#stub", "logprobs": "off"}
    with open_panel(settings_with(judge)) as panel:
        assert panel.prove() == {"stub": ""}
        panel.judge("stub", pairs("a"), store)
        assert panel.members["stub"].judge.proof == Proof(True, (0, 1, 2, 3), None)
    assert not any("logprobs" in body for body in stub.bodies)


@pytest.mark.parametrize(
    ("move", "proof", "says"),
    [
        (
            with_logprobs(3, {"0": 0.02, "1": 0.02, "2": 0.05, "3": 0.9, "x": 0.01}),
            Proof(True, (0, 1, 2, 3), True, (0, 1, 2, 3), pytest.approx(0.01)),
            "held to the JSON schema; log-probabilities, a token for each of 0, 1, 2, 3; 1.0% of the",
        ),
        (
            with_logprobs(3, {"3": 0.7, "2": 0.1, "The": 0.2}),
            Proof(True, (0, 1, 2, 3), True, (2, 3), pytest.approx(0.2)),
            "of the grades 0, 1, 2, 3 the trial did not list 0, 1; 20.0% of the probability on no grade",
        ),
        (grade(3), Proof(True, (0, 1, 2, 3), False), "held to the JSON schema; no log-probabilities"),
    ],
)
def test_a_judge_shows_whether_each_grade_is_a_token_and_where_the_rest_lies(
    stub: ChatStub, settings_with: SettingsWith, move: Move, proof: Proof, says: str
) -> None:
    stub.play = lambda body, times: move
    with open_panel(settings_with(f"{stub.url}#stub")) as panel:
        assert panel.prove() == {"stub": ""}
        shown = panel.members["stub"].judge.proof
    assert shown == proof
    assert says in str(shown)
    assert shown.healthy == (proof.outside is None or proof.outside == 0.01)


def test_serm_annotate_warns_of_a_judge_that_would_rather_say_something_else(
    stub: ChatStub, tmp_path: Path
) -> None:
    sure = {"2": 0.97, "1": 0.02, "x": 0.01}
    unsure = {"2": 0.5, "1": 0.2, "The": 0.3}
    stub.play = lambda body, times: with_logprobs(2, sure if body["model"] == "sure" else unsure)
    (tmp_path / "pairs.csv").write_text("query_id,query,doc_id,text\nq,a query,d,a text\n")
    judges = [f"{stub.url}#{name}" for name in ("sure", "unsure")]
    config = tmp_path / "judges.yaml"
    config.write_text(yaml.safe_dump({"judges": judges, "workspace": str(tmp_path / "ws")}))
    labels = tmp_path / "labels.jsonl"
    arguments = ["annotate", str(tmp_path / "pairs.csv"), "--config", str(config), "--out", str(labels)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "unsure put 30.0% of its probability on no grade, over 10%" in result.output
    assert "\nsure put" not in result.output
