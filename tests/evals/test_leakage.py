from __future__ import annotations

import json

import pandas as pd
import pytest

from serm.core.errors import DataError
from serm.evals import leakage
from serm.evals.leakage import check_leakage, kept_apart, require_clean, without_near_duplicates, word_set


def rows(*items: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(items, columns=["query_id", "query", "doc_id"])


TEST = rows(("t1", "red running shoes", "d1"), ("t1", "red running shoes", "d2"), ("t2", "usb cable", "d3"))


def test_disjoint_sets_are_clean_and_shared_documents_are_counted() -> None:
    found = check_leakage(rows(("a", "blue hat", "d1"), ("b", "green tea", "d9")), {"test": TEST})
    require_clean(found)
    assert found.clean
    assert found.near_duplicates == ()
    assert found.shared_documents == (("test", 1),)


def test_a_held_out_pair_in_training_is_an_error_that_names_query_document_and_set() -> None:
    found = check_leakage(rows(("t1", "red running shoes", "d1")), {"gate": rows(), "static": TEST})
    with pytest.raises(DataError, match=r"'t1', document 'd1' of `static`"):
        require_clean(found)


def test_a_held_out_query_with_other_documents_is_an_error_too() -> None:
    found = check_leakage(rows(("t2", "usb cable", "d77")), {"gate": TEST})
    assert found.pairs == ()
    with pytest.raises(DataError, match=r"'t2' of `gate`"):
        require_clean(found)


@pytest.mark.parametrize(
    "text",
    [
        "red running shoes",
        "Red  Running SHOES!",
        "shoes, running, red",
        "ｒｅｄ running shoes",
        "red-running shoes",
    ],
)
def test_a_query_that_reads_like_a_held_out_one_is_taken_out_and_counted(text: str) -> None:
    training = rows(("a", text, "d5"), ("a", text, "d6"), ("b", "green tea", "d5"))
    found = check_leakage(training, {"test": TEST})
    require_clean(found)  # another id: no error
    assert [(item.training_query_id, item.held_out_query_id) for item in found.near_duplicates] == [
        ("a", "t1")
    ]
    assert found.rows_of_near_duplicates == 2
    kept = without_near_duplicates(training, found)
    assert kept["query_id"].tolist() == ["b"]
    assert kept.index.tolist() == [0]
    assert check_leakage(kept, {"test": TEST}).near_duplicates == ()


def test_a_query_with_one_word_more_is_another_query() -> None:
    assert check_leakage(rows(("a", "red running shoes men", "d5")), {"test": TEST}).near_duplicates == ()


def test_chinese_and_arabic_are_compared_without_punctuation() -> None:
    held_out = rows(("z", "北京在哪里？", "d1"), ("r", "أين تقع القاهرة؟", "d2"))
    training = rows(("a", "北京在哪里", "d8"), ("b", "القاهرة أين تقع", "d8"), ("c", "上海在哪里", "d8"))
    found = check_leakage(training, {"test": held_out})
    assert {item.training_query_id for item in found.near_duplicates} == {"a", "b"}


def test_an_id_that_has_several_texts_counts_with_each_of_them() -> None:
    training = rows(("a", "blue hat", "d5"), ("a", "usb cable", "d6"), ("b", "green tea", "d5"))
    held_out = rows(("t", "lamp", "d1"), ("t", "tea, green", "d1"))
    found = check_leakage(training, {"gate": held_out, "test": TEST})
    assert {item.training_query_id for item in found.near_duplicates} == {"a", "b"}
    assert without_near_duplicates(training, found).empty


def test_a_held_out_set_without_documents_is_compared_by_its_queries() -> None:
    training = rows(("a", "usb, cable", "d3"), ("b", "green tea", "d1"))
    found = check_leakage(training, {"test": TEST[["query_id", "query"]]})
    assert [item.training_query_id for item in found.near_duplicates] == ["a"]
    assert found.to_json()["shared_documents"] == {}
    with pytest.raises(DataError, match=r"'t2' of `test`"):
        require_clean(check_leakage(rows(("t2", "x", "d")), {"test": TEST[["query_id", "query"]]}))


def test_tables_are_kept_apart_together_and_what_is_in_both_sets_is_refused() -> None:
    seed, new = rows(("a", "usb, cable", "d3")), rows(("b", "green tea", "d1"), ("c", "USB cable", "d9"))
    tables, report = kept_apart([seed, new.assign(round=1)], {"test": TEST})
    assert [table["query_id"].tolist() for table in tables] == [[], ["b"]]
    assert tables[1]["round"].tolist() == [1]
    assert report.rows_of_near_duplicates == 2
    with pytest.raises(DataError, match="'t2'"):
        kept_apart([seed, rows(("t2", "x", "d"))], {"test": TEST})


def test_queries_of_punctuation_alone_are_not_all_alike() -> None:
    assert word_set("???") != word_set("!!")


def test_a_text_of_many_ids_on_both_sides_is_found_once_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plain = leakage.NearDuplicate
    monkeypatch.setattr(leakage, "NearDuplicate", lambda *given: (made.append(1), plain(*given))[1])
    ours, theirs = (
        pd.DataFrame({"query_id": [f"{side}{n}" for n in range(200)], "doc_id": "d", "query": "iphone"})
        for side in "ab"
    )
    report = check_leakage(ours, {"gate": theirs})
    assert len(report.near_duplicates) == len(made) == 200
    assert {item.held_out_query_id for item in report.near_duplicates} == {"b0"}


def test_the_report_is_json_and_lists_a_bounded_number_of_findings() -> None:
    training = rows(*((f"a{i}", "usb cable", f"d{i}") for i in range(500)))
    report = check_leakage(training, {"test": TEST}).to_json()
    assert (report["near_duplicate_queries"], report["near_duplicate_rows"]) == (500, 500)
    assert len(json.dumps(report)) < 4_000
