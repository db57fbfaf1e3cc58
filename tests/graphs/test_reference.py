"""What a window is compared with: languages that the log does not name are told alike on both sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serm.graphs import reference
from serm.graphs.reference import earlier_queries
from serm.tools.desk import MiningDesk
from serm.tools.language import with_languages

ENGLISH = "where can I buy a good pair of red running shoes for the winter, number {}"
FRENCH = "où puis-je acheter une bonne paire de chaussures rouges pour courir en hiver, numéro {}"


def window_of(english: int, french: int, first: int) -> pd.DataFrame:
    queries = [ENGLISH.format(first + number) for number in range(english)]
    queries += [FRENCH.format(first + number) for number in range(french)]
    return pd.DataFrame({"query": queries, "title": "", "text": "", "language": "", "impressions": np.nan})


def resources_over(windows: list[pd.DataFrame], folder: Path) -> Any:
    """The seed and then the windows."""
    model = SimpleNamespace(embed_queries=lambda names: np.zeros((len(names), 2), dtype=np.float32))
    return SimpleNamespace(
        workspace=SimpleNamespace(scores=folder),
        dataset=SimpleNamespace(
            seed_id="seed", seed=lambda: windows[0], coded_window=lambda index: windows[index + 1]
        ),
        window=lambda number: SimpleNamespace(id=f"window {number}"),
        settings=SimpleNamespace(random_seed=0, miner=SimpleNamespace(drift_reference="all")),
        models=SimpleNamespace(open=lambda _: model),
    )


def both(windows: list[pd.DataFrame], folder: Path) -> tuple[Counter[str], Counter[str]]:
    """How many queries of which language there are before the last window, and in it."""
    before = earlier_queries(resources_over(windows, folder), len(windows) - 1, "a model")
    now = with_languages(windows[-1], before.spoken)
    return Counter(before.languages), Counter(now["language"])


def test_a_language_near_the_share_that_counts_is_not_new_where_it_was_there_before(tmp_path: Path) -> None:
    windows = [window_of(60, 0, 0), window_of(400, 6, 100), window_of(200, 8, 600)]  # 1.5%, then 3.8%
    assert Counter(with_languages(windows[1])["language"]) == {"en": 406}  # by itself it is not spoken there
    assert both(windows, tmp_path) == ({"en": 460, "fr": 6}, {"en": 200, "fr": 8})


def test_a_language_that_gets_rare_is_not_gone(tmp_path: Path) -> None:
    windows = [window_of(60, 0, 0), window_of(200, 8, 600), window_of(400, 6, 100)]
    assert both(windows, tmp_path) == ({"en": 260, "fr": 8}, {"en": 400, "fr": 6})


def test_a_few_odd_queries_of_a_small_window_are_of_no_language_on_either_side(tmp_path: Path) -> None:
    assert both([window_of(60, 3, 0), window_of(400, 3, 100)], tmp_path / "a") == ({"en": 63}, {"en": 403})
    assert both([window_of(1000, 17, 0), window_of(196, 4, 2000)], tmp_path / "b") == (
        {"en": 1017},
        {"en": 200},
    )


def test_a_regional_name_in_the_log_counts_for_its_language(tmp_path: Path) -> None:
    named = window_of(100, 100, 0)
    named.loc[100:, "language"] = "fr-CA"
    before, now = both([named, window_of(400, 4, 300)], tmp_path)
    assert before == {"en": 100, "fr-CA": 100}  # what the log says stays
    assert now == {"en": 400, "fr": 4}


def test_a_query_that_was_there_before_is_not_novel_though_only_a_part_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MOST", 20)
    windows = [window_of(60, 0, 0), window_of(200, 0, 100), window_of(40, 0, 280)]
    before = earlier_queries(resources_over(windows, tmp_path), 2, "a model")
    assert len(before) == 20
    embeddings = np.eye(2, dtype=np.float32)[np.zeros(40, dtype=int)]
    names = windows[2]["query"].tolist()
    assert sum(name in set(windows[1]["query"]) for name in names) == 20
    desk = SimpleNamespace(query_embeddings=embeddings, reference=before, query_names=names)
    found = MiningDesk.query_novelty.func(desk)  # type: ignore[attr-defined, arg-type]
    assert found.tolist() == [0.0] * 20 + [1.0] * 20


def test_where_all_earlier_queries_are_looked_at_their_texts_are_not_needed(tmp_path: Path) -> None:
    windows = [window_of(60, 0, 0), window_of(40, 0, 100)]
    assert earlier_queries(resources_over(windows, tmp_path), 1, "a model").every is None


def test_a_text_of_both_windows_is_of_one_language(tmp_path: Path) -> None:
    """A language that hardly anybody speaks is taken for one that is spoken, and by both for the same one,
    also where that is spoken in the later window alone."""
    galician = [
        f"{who} da {place} non traballa moito na cidade"
        for who in ("a xente", "o mozo", "a rapaza")
        for place in ("vila", "aldea")
    ]
    spanish = [f"la mesa de la casa con luz para los niños de ayer {number}" for number in range(400)]
    portuguese = [f"mesas da casa com madeira para crianças não estão {number}" for number in range(13)]

    def window(queries: list[str]) -> pd.DataFrame:
        frame = pd.DataFrame(
            {"query": queries, "title": "", "text": "", "language": "", "impressions": np.nan}
        )
        return frame.assign(text=[f"{query} hoxe" for query in queries])

    windows = [window(queries) for queries in (spanish, spanish + galician, spanish + galician + portuguese)]
    before = earlier_queries(resources_over(windows, tmp_path), 2, "a model")
    now = with_languages(windows[2], before.spoken)
    of_now = dict(zip(now["query"], now["language"], strict=True))
    of_before = dict(zip(before.names, before.languages, strict=True))
    assert {query: of_before[query] for query in galician} == {query: of_now[query] for query in galician}
