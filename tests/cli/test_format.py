"""Numbers as people read them."""

from __future__ import annotations

import pytest

from serm.cli.format import count, duration, money, short, size


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (400_000, "0.4 ms"),
        (12_300_000, "12 ms"),
        (3_210_000_000, "3.2 s"),
        (250_000_000_000, "4 min 10 s"),
        (3_900_000_000_000, "1 h 05 min"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def test_counts_money_and_sizes() -> None:
    assert (count(1, "call"), count(1800, "call"), count(2, "query", "queries")) == (
        "1 call",
        "1,800 calls",
        "2 queries",
    )
    assert (money(1234.5), money(0.0012)) == ("1,234.50", "0.0012")
    assert (size(12_340_000_000), size(900_000_000)) == ("12.3 GB", "900 MB")


def test_long_text_is_cut_to_one_line() -> None:
    assert short("a\n b   c", 10) == "a b c"
    assert short("abcdef", 4) == "abc…"
