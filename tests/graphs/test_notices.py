"""What a run says before its first step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import torch

from serm.core import Settings
from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings
from serm.graphs import notices
from serm.graphs.notices import data_notices, language_notices, model_notices
from serm.storage.dataset import DataSet


def data(
    rejected: dict[str, int], left_out: dict[str, int], again: int = 0, windows: Sequence[int] = ()
) -> DataSet:
    return cast(
        DataSet,
        SimpleNamespace(
            rejected=sum(rejected.values()),
            reject_reasons=rejected,
            left_out=left_out,
            logged_again=again,
            windows=[SimpleNamespace(name=f"w{n}", pairs=pairs) for n, pairs in enumerate(windows)],
        ),
    )


def test_rows_that_are_left_out_are_told_of_the_commonest_reason_first() -> None:
    reasons = {"is blank": 2, "out of range": 1_200} | {f"reason {n}": 1 for n in range(5)}
    [rejected, left] = data_notices(data(reasons, {"no set takes it": 7}))
    assert rejected.startswith("1,207 rows are rejected and left out: 1,200 x out of range; 2 x is blank; ")
    assert rejected.endswith("2 more reasons. rejects.jsonl beside the data set lists each.")
    assert left == "7 good rows are left out: 7 x no set takes it."
    assert list(data_notices(data({}, {}))) == []
    [again] = data_notices(data({}, {}, again=1_500))
    assert again == "1,500 rows log a pair again in its window: their requests are added to its first row."


def test_windows_that_stray_timestamps_make_are_told_of() -> None:
    [told] = data_notices(data({}, {}, windows=(3, 400, 390, 5)))
    assert told.startswith("Of 4 windows these have fewer than 20 pairs: w0 (3), w3 (5). A wrong timestamp")
    assert list(data_notices(data({}, {}, windows=(400, 20)))) == []
    assert list(data_notices(data({}, {}, windows=(4, 5)))) == [], "a small set"


class Known:
    """A tokenizer that knows all words but those of one script."""

    unk_token_id = 0

    def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
        return {"input_ids": [[0 if ord(word[0]) > 0x3000 else 1 for word in text.split()] for text in texts]}

    def num_special_tokens_to_add(self, *, pair: bool) -> int:
        return 3 if pair else 2


def world(*languages: str) -> DataSet:
    texts = {"zh": "红色 鞋子", "en": "red shoes"}
    rows = pd.DataFrame(
        [
            {"query": texts[language], "title": "", "text": texts[language], "language": language}
            for language in languages
        ]
    )
    return cast(DataSet, SimpleNamespace(windows=[1], window=lambda *_: rows, seed=lambda *_: rows[:1]))


def test_a_language_that_the_base_has_no_words_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "tokenizer_of", lambda _: Known())
    [line] = language_notices(world("en", "zh"), ModelSettings(), 0)
    assert line == (
        "minilm has no word for 100% of the tokens of language zh: name one that has with `model.base`."
    )
    assert list(language_notices(world("en", "en"), ModelSettings(), 0)) == []


def test_a_base_that_cannot_be_loaded_says_so_itself_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_: ModelSettings) -> Any:
        raise ModelError("there is none.")

    monkeypatch.setattr(notices, "tokenizer_of", no)
    assert list(language_notices(world("zh"), ModelSettings(), 0)) == []


class Body(torch.nn.Module):
    """Two layers, with dropout or without."""

    def __init__(self, share: float) -> None:
        super().__init__()
        layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(share))
        self.layers = torch.nn.ModuleList([copy.deepcopy(layer), layer])


@pytest.mark.parametrize(
    ("layers", "share", "agents", "told"),
    [
        (1, 0.1, {"disagreement": 1}, []),
        (2, 0.1, {"disagreement": 1}, ["`training.freeze_layers: 2` freezes all of minilm"]),
        (1, 0.0, {"uncertainty": 1}, []),
        (1, 0.0, {"bald": 1, "disagreement": 1}, ["minilm has no dropout"]),
        (9, 0.0, {"bald": 1}, ["`training.freeze_layers: 9` freezes all of minilm", "minilm has no dropout"]),
    ],
)
def test_a_base_that_cannot_learn_or_doubt_is_told_of(
    layers: int, share: float, agents: dict[str, int], told: list[str]
) -> None:
    values = {
        "data": {"sources": [{"pairs": "p.parquet"}]},
        "judges": ["simulated:accuracy=1"],
        "model": {"base": "minilm"},
        "training": {"freeze_layers": layers},
        "miner": {"agents": agents},
    }
    settings = Settings.from_mapping(values, folder=Path(), environment={})
    found = [notice for notice, remedy in model_notices(Body(share), settings) if remedy]
    assert len(found) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(found, told, strict=True))
