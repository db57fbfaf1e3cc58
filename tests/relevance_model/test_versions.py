"""Keys of models: what is made from the same inputs is found, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from serm.core.hashing import digest
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.identity import folder_id
from serm.relevance_model.versions import ModelVersions


@pytest.fixture
def written() -> ModelSettings:
    """As a config says it: a folder beside the config."""
    return ModelSettings(base="./encoder", device="cpu", precision="float32", max_length=16)


def _base(folder: Path, tiny_base: Path, by: float = 0.0) -> Path:
    """A base in FOLDER/encoder, its weights moved by a number."""
    shutil.copytree(tiny_base, folder / "encoder")
    if by:
        model = SentenceTransformer(str(folder / "encoder"), device="cpu")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(by)
        model.save(str(folder / "encoder"), create_model_card=False)
    return folder / "encoder"


def _versions(folder: Path, base: Path, written: ModelSettings, shared: Path | None = None) -> ModelVersions:
    """Of a workspace in FOLDER, which may share its models."""
    folder.mkdir(exist_ok=True)
    if shared is not None:
        shared.mkdir(exist_ok=True)
        (folder / "models").symlink_to(shared, target_is_directory=True)
    here = written.model_copy(update={"base": str(base)})
    return ModelVersions(folder / "models", folder / "embeddings", written, here)


def test_two_configs_with_a_base_of_one_name_have_two_models_in_a_shared_folder(
    tmp_path: Path, tiny_base: Path, written: ModelSettings
) -> None:
    bases = _base(tmp_path / "a", tiny_base), _base(tmp_path / "b", tiny_base, by=0.1)
    one, other = (_versions(base.parent / "work", base, written, tmp_path / "shared") for base in bases)
    assert one.untrained() != other.untrained()
    assert one.open(one.untrained()).id != other.open(other.untrained()).id


def test_the_same_base_elsewhere_is_the_same_model(
    tmp_path: Path, tiny_base: Path, written: ModelSettings
) -> None:
    bases = _base(tmp_path / "a", tiny_base), _base(tmp_path / "b", tiny_base)
    one, other = (_versions(base.parent / "work", base, written, tmp_path / "shared") for base in bases)
    assert one.untrained() == other.untrained()


def test_a_base_whose_files_are_replaced_is_another(tmp_path: Path, tiny_base: Path) -> None:
    base = _base(tmp_path, tiny_base)
    before = folder_id(base)
    (base / ".cache").mkdir()
    (base / ".cache" / "lock").touch()
    assert folder_id(base) == before
    vocabulary = next(base.rglob("tokenizer.json"))
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8").replace("ask1", "ask9"), encoding="utf-8")
    assert folder_id(base) != before


def test_a_workspace_of_its_own_and_a_hub_s_id_keep_their_keys(
    tmp_path: Path, tiny_base: Path, written: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(settings: ModelSettings) -> str:
        return f"untrained-{digest(settings.model_dump(mode='json'))}"

    base = _base(tmp_path, tiny_base)
    assert _versions(tmp_path / "own", base, written).untrained() == key(written)
    monkeypatch.setattr("serm.relevance_model.versions.find_or_create", lambda *_: None)
    for number, name in enumerate(("minilm", "intfloat/e5-small")):
        settings = written.model_copy(update={"base": name})
        shared = _versions(tmp_path / str(number), Path(name), settings, tmp_path / "shared")
        assert shared.untrained() == key(settings)
