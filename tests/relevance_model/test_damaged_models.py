"""Models whose files a power cut emptied: what is made anew may be deleted, what was trained never."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.description import FILE
from serm.relevance_model.versions import ModelVersions

TRAINED = "0123456789abcdef"


def _no_description(folder: Path) -> None:
    os.truncate(folder / FILE, 0)


def _no_kind(folder: Path) -> None:
    (folder / FILE).write_text("{}", encoding="utf-8")


def _no_lengths(folder: Path) -> None:
    said = json.loads((folder / FILE).read_text(encoding="utf-8"))
    (folder / FILE).write_text(json.dumps({"kind": said["kind"]}), encoding="utf-8")


def _no_weights(folder: Path) -> None:
    for file in folder.rglob("*.safetensors"):
        os.truncate(file, 100)


def _fewer_weights(folder: Path) -> None:
    """What a library would fill up with random numbers."""
    for file in folder.rglob("*.safetensors"):
        kept = {name: tensor for name, tensor in load_file(file).items() if "layer." not in name}
        save_file(kept, file, metadata={"format": "pt"})


def _no_tokenizer(folder: Path) -> None:
    next(folder.rglob("tokenizer.json")).unlink()


def _no_length(folder: Path) -> None:
    said = json.loads((folder / FILE).read_text(encoding="utf-8"))
    (folder / FILE).write_text(json.dumps({**said, "max_length": None}), encoding="utf-8")


DAMAGE = [
    shutil.rmtree,
    _no_description,
    _no_kind,
    _no_lengths,
    _no_weights,
    _fewer_weights,
    _no_tokenizer,
    _no_length,
]


@pytest.fixture(params=["biencoder", "crossencoder"])
def versions(request: pytest.FixtureRequest, tmp_path: Path, tiny: ModelSettings) -> ModelVersions:
    settings = tiny.model_copy(update={"kind": request.param})
    return ModelVersions(tmp_path / "models", tmp_path / "embeddings", settings)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_trained_model_that_is_damaged_is_to_be_put_back_and_never_deleted(
    versions: ModelVersions, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = versions.path(TRAINED)
    shutil.copytree(versions.path(versions.untrained()), folder)
    shutil.copytree(folder, tmp_path / "copy")
    damage(folder)
    with pytest.raises(ModelError, match=str(folder)) as raised:
        versions.open(TRAINED)
    assert "Put the folder back from a copy" in raised.value.remedy
    assert "serm models promote" in raised.value.remedy
    assert "elete" not in raised.value.remedy
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tmp_path / "copy", folder)
    assert versions.open(TRAINED).id


@pytest.mark.parametrize("damage", DAMAGE[1:])
def test_the_base_as_it_comes_is_made_anew(versions: ModelVersions, damage: Callable[[Path], None]) -> None:
    key = versions.untrained()
    damage(versions.path(key))
    with pytest.raises(ModelError, match=key) as raised:
        versions.open(key)
    assert "Delete the folder" in raised.value.remedy
    shutil.rmtree(versions.path(key))
    assert versions.open(versions.untrained()).id


@pytest.mark.parametrize("head", [None, {}, {"scale": -1.0, "thresholds": [1, 2, 3], "biases": {}}])
def test_a_head_that_is_none_is_a_sentence(tmp_path: Path, tiny: ModelSettings, head: object) -> None:
    versions = ModelVersions(tmp_path / "models", tmp_path / "embeddings", tiny)
    file = versions.path(versions.untrained()) / FILE
    said = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**said, "head": head}), encoding="utf-8")
    with pytest.raises(ModelError, match=f"{FILE} describes no head"):
        versions.open(versions.untrained())


def test_what_a_description_lacks_is_named(tmp_path: Path, tiny: ModelSettings) -> None:
    versions = ModelVersions(tmp_path / "models", tmp_path / "embeddings", tiny)
    file = versions.path(versions.untrained()) / FILE
    file.write_text('{"kind": "biencoder", "max_length": 16}', encoding="utf-8")
    with pytest.raises(ModelError, match="lacks head, query_prefix, document_prefix"):
        versions.open(versions.untrained())


def test_a_base_with_damaged_weights_is_no_model_to_put_back(tmp_path: Path, tiny: ModelSettings) -> None:
    shutil.copytree(tiny.base, tmp_path / "base")
    _no_weights(tmp_path / "base")
    settings = tiny.model_copy(update={"base": str(tmp_path / "base")})
    with pytest.raises(ModelError) as raised:
        ModelVersions(tmp_path / "models", tmp_path / "embeddings", settings).untrained()
    assert raised.value.remedy == "Check the folder's files."
