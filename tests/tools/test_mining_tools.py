import json
from dataclasses import replace

import numpy as np
import pytest
from langchain_core.tools import BaseTool, ToolException
from mining_desks import make_desk
from pydantic import ValidationError

from serm.core.records import PairKey
from serm.tools.desk import DeskView
from serm.tools.mining_tools import TOOLS, mining_tools
from serm.tools.query_sample import QuerySample
from serm.tools.result import result

SCORERS = (
    "score_uncertainty",
    "score_disagreement",
    "score_bald",
    "score_committee",
    "score_novelty",
    "detect_drift",
    "find_engaged_low",
    "find_skipped_high",
    "fit_click_model",
)


def tools_of(view: DeskView) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in mining_tools(view)}


@pytest.mark.parametrize(
    ("text", "queries"), [("查询" * 60, 5_000), ("eine lange Anfrage " * 20, 200), ('"\\\n' * 40, 200)]
)
def test_every_result_is_json_under_two_kilobytes_even_of_fifty_thousand_pairs(
    text: str, queries: int
) -> None:
    view = make_desk(queries=queries, per_query=10, text=text).view("drift", 600)
    tools = tools_of(view)
    answers = {name: tools[name].invoke({}) for name in ("describe_window", *SCORERS)}
    answers["detect_drift"] = tools["detect_drift"].invoke({"max_regions": 8})
    answers["nominate"] = tools["nominate"].invoke({"candidates": "c1", "count": 600, "reason": "because"})
    for name, answer in answers.items():
        assert len(answer.encode()) < 2_048, name
        assert json.loads(answer), name


@pytest.mark.parametrize("name", SCORERS)
def test_a_scorer_keeps_a_list_of_unlabelled_candidates_the_best_first(name: str) -> None:
    desk = make_desk(queries=120)
    labelled = frozenset(list(desk.row_of)[::3])
    view = make_desk(queries=120, labelled=labelled).view("x", 50)
    told = json.loads(tools_of(view)[name].invoke({}))
    made = view.candidates["c1"]
    assert len(made.rows)
    assert not {key for key, row in desk.row_of.items() if row in set(made.rows.tolist())} & labelled
    assert (np.diff(made.scores) <= 0).all()
    assert "c1" in json.dumps(told)


@pytest.mark.parametrize("name", ["find_engaged_low", "fit_click_model", "find_skipped_high"])
def test_without_feedback_in_the_log_a_tool_says_so(name: str) -> None:
    told = json.loads(tools_of(make_desk(logged=False).view("x", 50))[name].invoke({}))
    assert told["size"] == 0
    assert told["why"].startswith("the log has no")


def test_without_earlier_queries_the_drift_detector_says_so() -> None:
    view = make_desk().view("drift", 50)
    view.desk.__dict__["reference"] = QuerySample(np.zeros((0, 24), dtype=np.float32))
    told = json.loads(tools_of(view)["detect_drift"].invoke({}))
    assert told["drift"] is False
    assert "no earlier queries" in told["why"]


def test_the_drift_detector_names_the_new_topic_by_its_queries() -> None:
    told = json.loads(tools_of(make_desk(queries=200, seed=3).view("drift", 50))["detect_drift"].invoke({}))
    assert told["drift"] is True
    assert told["p_value"] <= 0.05
    region = next(item for item in told["regions"] if item["kind"] == "new")
    assert region["queries"][1] > region["queries"][0]
    assert 3 <= len(region["examples"]) <= 5
    assert region["candidates"].startswith("c")


def test_a_language_that_nobody_speaks_gives_an_empty_list() -> None:
    told = json.loads(tools_of(make_desk().view("x", 9))["score_uncertainty"].invoke({"language": "fi"}))
    assert (told["size"], told["why"]) == (0, "no unlabelled pair fits")


def test_passes_are_spent_on_the_most_uncertain_pairs_alone() -> None:
    asked: list[np.ndarray] = []
    desk = make_desk(pool=25)
    model = desk.stochastic
    desk.__dict__["stochastic"] = lambda rows: (asked.append(rows), model(rows))[1]
    tools_of(desk.view("x", 9))["score_disagreement"].invoke({"pool": 1_000})
    assert len(asked[0]) == 25
    assert desk.entropy[asked[0]].min() >= np.sort(desk.entropy)[-25]


@pytest.mark.parametrize("name", ["score_disagreement", "score_bald"])
def test_a_model_without_dropout_is_not_chosen_by_how_its_numbers_are_rounded(name: str) -> None:
    desk = make_desk()
    once = desk.scores.probabilities.astype(np.float32)
    noise = np.random.default_rng(1).uniform(-6e-8, 6e-8, (4, *once.shape)).astype(np.float32)
    desk.__dict__["stochastic"] = lambda rows: once[rows] + noise[:, rows]
    told = json.loads(tools_of(desk.view("x", 9))[name].invoke({}))
    assert told["size"] == 0
    assert "no dropout" in told["why"]


def test_a_nomination_past_the_quota_is_refused_and_takes_nothing() -> None:
    view = make_desk().view("uncertainty", 10)
    tools = tools_of(view)
    tools["score_uncertainty"].invoke({})
    with pytest.raises(ToolException, match="more than your quota leaves: 10 of 10"):
        tools["nominate"].invoke({"candidates": "c1", "count": 11, "reason": "all of them"})
    assert view.nominations == []


def test_a_nomination_from_no_list_is_refused_with_the_lists_that_there_are() -> None:
    view = make_desk().view("uncertainty", 10)
    tools = tools_of(view)
    tools["score_uncertainty"].invoke({})
    with pytest.raises(ToolException, match=r"no candidate list c7. Lists: c1"):
        tools["nominate"].invoke({"candidates": "c7", "count": 1, "reason": "why not"})


def test_a_pair_on_two_lists_is_nominated_once_and_a_full_quota_ends_the_turn() -> None:
    view = make_desk().view("uncertainty", 12)
    tools = tools_of(view)
    tools["score_uncertainty"].invoke({"measure": "entropy"})
    tools["score_uncertainty"].invoke({"measure": "margin"})
    tools["nominate"].invoke({"candidates": "c1", "count": 6, "reason": "entropy"})
    assert not view.closed
    tools["nominate"].invoke({"candidates": "c2", "count": 6, "reason": "margin"})
    frame = view.frame()
    assert view.closed
    assert len(frame) == 12
    assert not frame.duplicated(["query_id", "doc_id"]).any()
    assert frame["reason"].str.contains(r"^(?:entropy|margin) \d", regex=True).all()


def test_finishing_without_a_look_or_with_candidates_unused_is_refused() -> None:
    tools = tools_of(make_desk().view("uncertainty", 12))
    with pytest.raises(ToolException, match="not looked yet"):
        tools["finish"].invoke({"reason": "tired"})
    tools["score_uncertainty"].invoke({})
    with pytest.raises(ToolException, match="nominated none"):
        tools["finish"].invoke({"reason": "tired"})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("score_uncertainty", {"measure": "vibes"}),
        ("score_uncertainty", {"top": 0}),
        ("detect_drift", {"level": 2}),
        ("nominate", {"candidates": "c1", "count": -1, "reason": "x"}),
        ("nominate", {"candidates": "c1", "count": 1}),
        ("finish", {"reason": "done", "please": True}),
    ],
)
def test_arguments_that_do_not_fit_the_schema_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        tools_of(make_desk().view("x", 9))[name].invoke(arguments)


def test_every_tool_and_argument_is_described_for_a_chat_model() -> None:
    for tool in mining_tools(make_desk(queries=2).view("x", 9)):
        assert len(tool.description) > 20
        assert all("description" in field for field in tool.args.values()), tool.name
    assert len(TOOLS) == 12


def test_a_result_is_shortened_by_its_examples_first_and_its_findings_last() -> None:
    regions = [{"candidates": f"c{i}", "examples": ["日本語" * 30] * 3} for i in range(8)]
    told = json.loads(result({"regions": regions}))
    assert [item["candidates"] for item in told["regions"]] == [f"c{i}" for i in range(8)]


def test_a_result_that_cannot_be_shortened_is_a_bug() -> None:
    with pytest.raises(ValueError, match="give fewer keys"):
        result({f"key {i}": i for i in range(1_000)})


def test_pairs_are_found_by_both_of_their_names() -> None:
    desk = make_desk(queries=4)
    desk.__dict__["window"] = desk.window.assign(doc_id=[f"d{row % 8}" for row in range(len(desk.window))])
    wanted = [PairKey("q1", "d3"), PairKey("q3", "d0"), PairKey("q1", "elsewhere"), PairKey("q9", "d3")]
    assert desk.rows_of(wanted) == {PairKey("q1", "d3"): 11, PairKey("q3", "d0"): 24}
    assert desk.keys(np.array([11, 24])) == wanted[:2]


def test_a_sample_of_a_coded_window_is_plain() -> None:
    desk = make_desk(queries=4)
    coded = desk.window.astype({"query": "category", "text": "category"})
    desk.__dict__["window"] = coded
    assert not any(kind == "category" for kind in desk.pairs(np.array([3, 1])).dtypes)
    assert desk.pairs(np.array([3, 1]))["text"].tolist() == ["document 3", "document 1"]


def test_a_chat_model_may_be_stricter_about_drift_than_the_config_and_no_laxer() -> None:
    tool = tools_of(make_desk(drift_level=0.01).view("drift", 50))["detect_drift"]
    levels = [json.loads(tool.invoke({"level": level}))["level"] for level in (0.9, 0.01, 0.005)]
    assert levels == [0.01, 0.01, 0.005]


def test_eight_regions_of_chinese_queries_are_all_told_of() -> None:
    region = {
        "kind": "growing",
        "shared": "什么",
        "queries": [120, 340],
        "growth": 12.34,
        "p_value": 1.2e-05,
        "languages": {"zh": 0.95, "en": 0.05},
        "mean_entropy": 0.69,
        "candidates": "c1",
        "size": 340,
        "examples": ["什么是人工智能以及它的用途有哪些呢请告诉我详细的情况"] * 3,
    }
    told = {
        "drift": True,
        "p_value": 1e-9,
        "level": 0.05,
        "tests": {"mmd": {"p_value": 0.005, "effect": 0.1}},
    }
    text = result({**told, "regions_found": 30, "regions": [region] * 8})
    assert len(json.loads(text)["regions"]) == 8
    assert len(text.encode()) <= 2_000


def test_a_blank_in_a_log_with_clicks_is_no_click() -> None:
    """Logs are joined so: the fit would have pairs with clicks alone, and nothing was ever passed over."""
    written = make_desk(queries=200, drifted=False)
    clicks = written.window["clicks"]
    blank = replace(written, window=written.window.assign(clicks=clicks.where(clicks > 0)))
    for name in ("fit_click_model", "find_skipped_high"):
        told = [json.loads(tools_of(desk.view("x", 50))[name].invoke({})) for desk in (written, blank)]
        assert told[0] == told[1]
        assert told[0]["pairs_fitted"] == 1_600


def test_several_clicks_of_one_request_are_one_and_lose_no_pair() -> None:
    desk = make_desk(queries=200, drifted=False)
    more = desk.window["clicks"].where(desk.window["clicks"] == 0, desk.window["impressions"] + 3)
    view = replace(desk, window=desk.window.assign(clicks=more)).view("x", 50)
    assert json.loads(tools_of(view)["fit_click_model"].invoke({}))["pairs_fitted"] == 1_600
