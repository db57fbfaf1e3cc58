"""A folder of data needs no config."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from serm.core.errors import ConfigError, DataError
from serm.storage.folder import folder_notices, settings_for_folder


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


def rows_of(folder: Path, judges: dict[str, list[object]], column: str = "grade") -> None:
    rows = [
        {"query_id": f"q{number}", "doc_id": "d", "judge": judge, column: value}
        for judge, values in judges.items()
        for number, value in enumerate(values)
    ]
    pd.DataFrame(rows).to_parquet(folder / "judgments.parquet")


@pytest.mark.parametrize("column", ["grade", "label"])
def test_a_judge_on_two_values_is_not_seated_beside_judges_on_four(tmp_path: Path, column: str) -> None:
    rows_of(tmp_path, {"four": [0, 1, 2, 3], "two": [0, 1, 1, 0], "strange": [0, 7, 2, 1]}, column)
    settings = settings_for_folder(tmp_path, {})
    assert [judge.backend.partition("#")[2] for judge in settings.judges] == ["four", "strange"]
    [notice] = folder_notices(tmp_path)
    assert notice.startswith("two answered 0 and 1 alone")


def test_where_all_judges_are_on_two_values_all_sit(tmp_path: Path) -> None:
    rows_of(tmp_path, {"a": [0, 1], "b": [1, 1]})
    assert len(settings_for_folder(tmp_path, {}).judges) == 2
    assert list(folder_notices(tmp_path)) == []


def test_of_many_judges_more_than_half_have_to_agree(tmp_path: Path) -> None:
    rows_of(tmp_path, {name: [0, 2] for name in "abc"})
    assert settings_for_folder(tmp_path, {}).agreement.rule == "unanimous"
    rows_of(tmp_path, {name: [0, 2] for name in "abcd"})
    assert settings_for_folder(tmp_path, {}).agreement.rule == "majority"
    assert "4 recorded judges" in "".join(folder_notices(tmp_path))
