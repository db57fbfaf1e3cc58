"""From what the user names (a config, a folder of data, a workspace) to settings and a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serm.core.settings import Settings
    from serm.storage.workspace import Workspace


def load_settings(path: Path) -> Settings:
    """The settings of a config file, or of a folder: its serm.yaml, else the defaults for a folder of data.

    Raises ConfigError where there are none, where the folder is a workspace, and where it is nothing of that.
    """
    from serm.core.errors import ConfigError
    from serm.core.settings import Settings

    if not path.is_dir():
        return Settings.from_yaml(path)
    if (path / "serm.yaml").is_file():
        return Settings.from_yaml(path / "serm.yaml")
    if is_workspace(path):
        raise ConfigError(f"{path} is a workspace.", "Give the config it was made with.")
    from serm.storage.folder import settings_for_folder
    from serm.storage.readers import holds_pairs

    if not holds_pairs(path):
        raise ConfigError(
            f"{path} is no workspace, and has neither a serm.yaml nor pairs.",
            "Name a config (`serm init` writes one), or a folder of data (docs/formats.md).",
        )
    return settings_for_folder(path)


def notices(path: Path) -> list[str]:
    """What is worth a line on the settings of a folder of data; nothing where somebody wrote a config."""
    if not path.is_dir() or (path / "serm.yaml").is_file():
        return []
    from serm.storage.folder import folder_notices

    return list(folder_notices(path))


def look_at(path: Path) -> Workspace:
    """The workspace itself, or that of a config or a folder of data; read-only, without its lock. Where no
    loop was run, the part of it that `serm annotate` works in."""
    from serm.storage.workspace import ANNOTATE, Workspace

    if path.is_dir() and is_workspace(path):
        return Workspace.read(path)
    if path.is_dir() and is_workspace(path / ANNOTATE):
        return Workspace.read(path / ANNOTATE)
    settings = load_settings(path)
    folder = settings.workspace_path
    if not is_workspace(folder) and is_workspace(folder / ANNOTATE):
        folder /= ANNOTATE
    return Workspace.read(folder, settings)


def is_workspace(path: Path) -> bool:
    """Whether it is the folder of a workspace: `evolve` needs the config that it was made with."""
    return (path / "config.json").is_file() and (path / "rounds").is_dir()
