"""Quotes in CSV and tab-separated text: which belong together, and what one that is left open spoils."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Rows = Callable[..., Any]


def test_an_open_quote_spoils_its_own_row_and_no_other(tmp_path: Path, read: Rows) -> None:
    """csv.reader would take the next row for the rest of the field, and both for one row."""
    rows = [
        f"q{n},d{n},query,{text}" for n, text in enumerate(['"a lone quote', '"another', "none", '"open'])
    ]
    whole = 'q8,d8,query,"two\nlines, and ""quotes"""'
    (tmp_path / "p.csv").write_text(
        "\n".join(["query_id,doc_id,query,text", *rows[:2], whole, *rows[2:]]) + "\n"
    )
    frame, rejects = read(tmp_path / "p.csv")
    assert frame[["doc_id", "text"]].to_numpy().tolist() == [
        ["d8", 'two\nlines, and "quotes"'],
        ["d2", "none"],
    ]
    assert [(reject.row, reject.reason.split(":")[0]) for reject in rejects] == [
        (1, "no CSV"),
        (2, "no CSV"),
        (5, "no CSV"),
    ]


@pytest.mark.parametrize(
    "between", [[], ["q2,query,d2,fine"], ["q2,query,d2,fine", "broken", "q4,query,d4,ok"]]
)
def test_an_open_quote_that_a_later_row_closes_swallows_none(
    tmp_path: Path, read: Rows, between: list[str]
) -> None:
    rows = ['q1,query,d1,"open', *between, 'q5,query,d5,27"', "q6,query,d6,plain"]
    (tmp_path / "p.csv").write_text("\n".join(["query_id,query,doc_id,text", *rows]) + "\n")
    frame, rejects = read(tmp_path / "p.csv")
    good = [row for row in rows[1:] if row != "broken"]
    assert frame[["query_id", "query", "doc_id", "text"]].agg(",".join, axis=1).tolist() == good
    assert rejects[0].row == 1
    assert rejects[0].reason == "no CSV: a quote is left open, and the lines after it are rows"


@pytest.mark.parametrize(
    "text",
    [
        "sizes\nS, M, L, XL",
        "sizes\nS,M,L,XL\nwash it cold",
        "red, blue\n\n1,000 in stock\none, two, three, four",
        'a "quoted" word\nand, so, "on"',
    ],
)
def test_a_text_of_several_lines_may_hold_commas(
    tmp_path: Path, read: Rows, good_row: Rows, text: str
) -> None:
    pd.DataFrame([good_row(1, text=text), good_row(2)]).to_csv(tmp_path / "p.csv", index=False)
    frame, rejects = read(tmp_path / "p.csv")
    assert not rejects
    assert frame["text"].tolist() == [text, "text of 1"]


def test_quotes_of_tab_separated_text_mean_nothing_where_they_cannot_be_csvs(
    tmp_path: Path, read: Rows
) -> None:
    texts = ['"a lone quote', '"red" and more', '27" screen', '"quoted ""well"" once"', '"two\nlines"']
    lines = ["query_id\tdoc_id\tquery\ttext", *(f"q{n}\td{n}\tq\t{text}" for n, text in enumerate(texts))]
    (tmp_path / "p.tsv").write_text("\n".join(lines) + "\nq9\td9\tq\n")
    frame, rejects = read(tmp_path / "p.tsv")
    assert frame["text"].tolist() == [*texts[:3], 'quoted "well" once', "two\nlines"]
    assert [(reject.row, reject.reason) for reject in rejects] == [
        (6, "another number of fields than the header")
    ]


def test_a_quote_of_tab_separated_text_that_a_later_line_closes_is_read_as_it_stands(
    tmp_path: Path, read: Rows
) -> None:
    texts = ['"open', "none", '27"']
    lines = ["query_id\tdoc_id\tquery\ttext", *(f"q{n}\td{n}\tq\t{text}" for n, text in enumerate(texts))]
    (tmp_path / "p.tsv").write_text("\n".join(lines) + "\n")
    frame, rejects = read(tmp_path / "p.tsv")
    assert not rejects
    assert frame["text"].tolist() == texts
