"""The table at the end of a run: what a round mined, labelled, gained, and why it was promoted or not."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from serm.cli.rounds_table import failures, rounds_table, verdicts


def report(number: int, **more: Any) -> dict[str, Any]:
    def measured(ndcg: float) -> dict[str, Any]:
        return {
            "frozen": {"ndcg@4": 0.6, "accuracy": 0.5},
            "champion": {"ndcg@4": ndcg, "accuracy": 0.55},
        }

    evaluations = {"web": measured(0.612), "evolving": measured(0.58)}
    return {
        "round": number,
        "window": {"name": "2021-01"} if number else None,
        "evaluations": evaluations,
        **(
            {"counts": {"mined": 600, "labelled": 431}, "label_accuracy": {"accuracy": 0.912}}
            if number
            else {}
        ),
        **more,
    }


def shown(*reports: dict[str, Any]) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(rounds_table(reports))
    return captured.get()


def test_a_round_shows_what_it_took_and_what_it_gained() -> None:
    decision = {"reasons": ["the bound is -0.2 points", "look 1 at the gate"]}
    text = shown(report(0), report(1, verdict="promoted", decision=decision))
    lines = [line.split() for line in text.splitlines()]
    (before,) = (line for line in lines if line[:1] == ["0"])
    assert before[1:4] == ["-", "-", "-"]
    (first,) = (line for line in lines if line[:1] == ["1"])
    assert first[1:] == ["600", "431", "91.2%", "0.612", "0.580", "0.550", "0.550", "promoted"]
    (gains,) = (line for line in lines if line[:1] == ["2021-01"])
    assert gains[1:] == ["+0.012", "-0.020", "+0.050", "+0.050"]
    assert "evolv." in text


def test_the_table_fits_into_80_columns_without_cutting_anything() -> None:
    text = shown(report(0), report(12, verdict="rolled_back", simulated_judges=["sim"]))
    assert "…" not in text
    assert "Labels are of SIMULATED judges: sim" in text


def test_a_measure_that_could_not_be_taken_is_a_dash() -> None:
    last = report(3, verdict="rolled_back", label_accuracy=None)
    del last["evaluations"]["evolving"]
    last["evaluations"]["web"]["champion"]["ndcg@4"] = None
    (line,) = (line.split() for line in shown(last).splitlines() if line.split()[:1] == ["3"])
    assert line[3:8] == ["-", "-", "-", "0.550", "-"]


def test_every_verdict_comes_with_the_gates_reasons() -> None:
    decision = {"reasons": ["the bound is -2.0 points, not above -1.0", "look 2 at the gate"]}
    (line,) = verdicts([report(0), report(2, verdict="rolled_back", decision=decision)])
    assert line.plain == "Round 2 rolled back: the bound is -2.0 points, not above -1.0; look 2 at the gate."


def test_what_judges_failed_on_is_told_round_by_round() -> None:
    counts = {"mined": 36, "labelled": 12, "outcomes": {"failed": 24, "unanimous": 12}}
    told = list(
        failures([report(1), report(2, counts=counts, failures={"ann": {"missing": 20, "timeout": 4}})])
    )
    assert told == [
        "Round 2: 24 of 36 pairs have no label, as judges failed on them. "
        "Failures: ann 20 missing, ann 4 timeout."
    ]
