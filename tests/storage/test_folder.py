"""A folder of data needs no config."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from serm.core.errors import ConfigError, DataError
from serm.storage.folder import settings_for_folder


def judgments(folder: Path, judges: list[str]) -> None:
    rows = [{"query_id": "q", "doc_id": "d", "judge": judge, "grade": 1} for judge in judges]
    pd.DataFrame(rows).astype({"judge": "category"}).to_parquet(folder / "judgments.parquet")


def test_its_recorded_judges_are_the_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    judgments(folder, ["b", "a", "b"])
    monkeypatch.chdir(tmp_path)
    settings = settings_for_folder(Path("shop"), {})
    assert [judge.backend for judge in settings.judges] == [
        "replay:judgments.parquet#a",
        "replay:judgments.parquet#b",
    ]
    assert settings.resolve("judgments.parquet") == folder / "judgments.parquet"
    assert settings.data.sources[0].label == "shop"
    assert settings.workspace_path == tmp_path / ".serm" / "shop"


def test_without_judgments_it_asks_for_a_judge(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="so there is no judge") as raised:
        settings_for_folder(tmp_path, {})
    assert "SERM_JUDGES" in raised.value.remedy


def test_a_judge_may_be_named_by_the_environment(tmp_path: Path) -> None:
    settings = settings_for_folder(tmp_path, {"SERM_JUDGES": "openai:gpt-4o"})
    assert [judge.backend for judge in settings.judges] == ["openai:gpt-4o"]


def test_judgments_without_a_judge_are_refused(tmp_path: Path) -> None:
    pd.DataFrame([{"query_id": "q"}]).to_parquet(tmp_path / "judgments.parquet")
    with pytest.raises(DataError, match="field judge"):
        settings_for_folder(tmp_path, {})


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        settings_for_folder(tmp_path / "nothing", {})
