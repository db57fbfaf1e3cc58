"""What a margin does to a gate of few queries, as the simulation has it."""

from __future__ import annotations

import pytest

from serm.benchmarks.judging.gate_margins import GATES, MARGINS, World, main, outcome

DRAWS = 20_000


def test_a_large_gate_promotes_what_is_better_and_nothing_worse() -> None:
    found = outcome(World(), 100_000, 50_000, 0.5, draws=DRAWS)
    assert found.better > 0.999
    assert found.worse == 0
    assert found.gained == pytest.approx(1, abs=0.001)


def test_a_gate_of_few_queries_loses_by_caution_and_a_wider_margin_lets_more_through_of_both() -> None:
    by_margin = [outcome(World(), 30, 15, margin, draws=DRAWS) for margin in (0.0, 1.0, 2.0, 5.0)]
    assert [found.better for found in by_margin] == sorted(found.better for found in by_margin)
    assert [found.worse for found in by_margin] == sorted(found.worse for found in by_margin)
    assert by_margin[0].gained < by_margin[2].gained < 1
    assert by_margin[0].worse < 0.03


def test_a_margin_of_what_is_detected_is_that_many_standard_errors() -> None:
    # (1.2816 + 0.8416) standard errors of half a point: at 400 queries of a deviation of 10 points
    of_reach, stated = (outcome(World(), 400, 200, margin, draws=DRAWS) for margin in (None, 1.0616))
    assert of_reach.better == pytest.approx(stated.better, abs=0.001)
    assert of_reach.worse == pytest.approx(stated.worse, abs=0.001)
    assert outcome(World(), 400, 200, 0.0, draws=DRAWS).better < of_reach.better - 0.005


def test_the_table_has_a_row_a_gate_and_the_command_line_changes_the_world(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main([])
    usual = capsys.readouterr().out.splitlines()
    assert len(usual) == 2 + len(GATES)
    assert usual[0].count("margin") == len(MARGINS)
    main(["--deviation", "1"])
    assert "100%, 100%, 0%" in capsys.readouterr().out
    assert "100%, 100%, 0%" not in usual[2]
