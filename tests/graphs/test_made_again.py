"""Tables that follow from other files of a workspace: what the error says to remove is made again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_world import world

from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.graphs import evolve

TABLES = {
    "scores/asked-with-*/*.parquet": "Remove the folder",
    "labels/*/pairs.parquet": "Remove the file",
    "reports/*.parquet": "Remove the file",
}
"""In the order in which a round reads them."""


def test_what_follows_from_other_files_is_made_again_once_it_is_removed(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    settings = Settings.from_mapping(world(tmp_path, tiny_encoder), folder=tmp_path, environment={})
    evolve(settings, rounds=1)
    for pattern, remedy in TABLES.items():
        files = list(settings.workspace_path.glob(pattern))
        for file in files:
            os.truncate(file, 0)
        with pytest.raises(WorkspaceError) as raised:
            evolve(settings, rounds=2)
        assert any(str(file) in raised.value.message for file in files), pattern
        assert remedy in raised.value.remedy
        for file in files:
            if "folder" in remedy:
                shutil.rmtree(file.parent)
            else:
                file.unlink()
    assert len(evolve(settings, rounds=2).rounds) == 3
