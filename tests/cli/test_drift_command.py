"""`serm drift` on a stream whose last window brings a new word."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_world import make_pairs, world

from serm.cli.main import run


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("drift")
    pairs = make_pairs(queries_per_month=60, candidates=2)
    pairs["query"] += [f" {name.rsplit('-', 1)[1]}" for name in pairs["query_id"]]  # no two alike
    last = pairs["query_id"].str.startswith("q3-")
    new = last & (pairs["query_id"].str.rsplit("-", n=1).str[1].astype(int) % 3 == 0)
    pairs.loc[new, "query"] += " zorblet [/usb] a $5_$10 b$"  # what Rich and Matplotlib could take for markup
    path = folder / "serm.yaml"
    path.write_text(yaml.safe_dump(world(folder, tiny_encoder, pairs)), encoding="utf-8")
    return path


def test_the_report_names_the_new_word_and_leaves_no_workspace(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    png, html = tmp_path / "map.png", tmp_path / "deep" / "report.html"
    assert run(["drift", str(config), "--png", str(png), "--html", str(html)]) == 0
    told = capsys.readouterr().out
    assert "Window m4 has drifted" in told
    assert re.search(r"new: .*zorblet \[/usb\] a \$5_\$10 b\$", told)
    assert all(name in told for name in ("mmd", "ks", "classifier", "outputs"))
    assert png.read_bytes().startswith(b"\x89PNG")
    page = html.read_text(encoding="utf-8")
    assert "zorblet" in page
    assert "http" not in page  # it needs nothing from anywhere
    assert not (config.parent / "workspace").exists()


def test_no_report_takes_the_place_of_what_is_read(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pairs = config.parent / "pairs.parquet"
    before = config.read_bytes(), pairs.read_bytes()
    assert run(["drift", str(config), "--html", str(config)]) == 2
    assert "would take the place of the config" in capsys.readouterr().err
    assert run(["drift", str(config), "--png", str(pairs)]) == 2
    assert run(["drift", str(config), "--png", str(tmp_path / "a"), "--html", str(tmp_path / "a")]) == 2
    assert (config.read_bytes(), pairs.read_bytes()) == before


def test_json_holds_regions_with_their_queries_languages_and_uncertainty(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drift", str(config), "--window", "m4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["drifted"] is True
    region = next(item for item in told["regions"] if "zorblet" in item["name"])
    assert (region["kind"], region["basis"], region["before"], region["growth"]) == ("new", "word", 0, None)
    assert len(region["examples"]) == 5
    assert sum(region["languages"].values()) == pytest.approx(1.0)
    assert 0 < region["uncertainty"] < np.log(4)


def test_a_window_like_those_before_has_not_drifted(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drift", str(config), "--window", "2"]) == 0
    assert "Window m3: no drift" in capsys.readouterr().out


def test_a_window_that_is_not_there_is_an_error_that_names_those_that_are(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drift", str(config), "--window", "7"]) == 2
    assert "The windows are 1 (m2), 2 (m3), 3 (m4)" in capsys.readouterr().err
