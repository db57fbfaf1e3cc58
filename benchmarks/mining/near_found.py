"""How many graded pairs of a file say what an earlier pair says, and were they graded alike?

python -m serm.benchmarks.mining.near_found PAIRS.parquet [PAIRS.parquet ...]

A pair is found where its query reads like that of an earlier pair and their documents have nearly one text,
by `miner.near_text`. Grades are human ones: the more often two such pairs have one grade, the less a second
label would have taught.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from serm.core.columns import document_text
from serm.core.settings_miner import MinerSettings
from serm.tools.near_duplicates import DOCUMENT_WORDS, QUERY_WORDS, SeenTexts


def found(pairs: pd.DataFrame, likeness: float) -> dict[str, int | float]:
    """`pairs`, how many `repeat` an earlier one, how many of these in the very same words (`exact`), and the
    share of the repeating ones with the grade of that first one (`same grade`; NaN without any)."""
    queries, documents = SeenTexts(likeness, QUERY_WORDS), SeenTexts(likeness, DOCUMENT_WORDS)
    titles = pairs["title"].fillna("") if "title" in pairs else [""] * len(pairs)
    texts = document_text(titles, pairs["text"])
    said = pd.DataFrame(
        {
            "query": [queries.add(text) for text in pairs["query"]],
            "document": [documents.add(text) for text in texts],
            "grade": pairs["grade"].to_numpy(),
        }
    )
    repeats = said.duplicated(["query", "document"]).to_numpy()
    words = pd.DataFrame({"query": pairs["query"].to_numpy(), "text": texts})
    first = said.groupby(["query", "document"])["grade"].transform("first")
    alike = (said["grade"] == first)[repeats]
    return {
        "pairs": len(pairs),
        "repeat": int(repeats.sum()),
        "exact": int(words.duplicated().sum()),
        "same grade": float(alike.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Pairs that say what an earlier one says.")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--near-text", type=float, default=MinerSettings().near_text)
    given = parser.parse_args()
    rows = [{"file": str(file), **found(pd.read_parquet(file), given.near_text)} for file in given.files]
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
