"""`serm init`: a commented config to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serm.cli.calling import command

DEFAULT_NAME = "serm.yaml"


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)


def init(
    path: Annotated[
        Path, typer.Argument(help="The file to write, or a folder to write serm.yaml into.")
    ] = Path(DEFAULT_NAME),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented config."""
    from importlib.resources import files

    from serm.core.errors import ConfigError
    from serm.storage.artifacts import write_file

    target = path / DEFAULT_NAME if path.is_dir() else path
    if target.exists() and not force:
        raise ConfigError(f"{target} is there already.", "Choose another name, or give --force.")
    text = files("serm.cli").joinpath("template.yaml").read_text(encoding="utf-8")
    write_file(target, lambda temporary: _write(temporary, text))
    print(
        f"Wrote {target}. Fill in `data` and `judges`, then:\n"
        f"  {command('doctor', target)}\n  {command('evolve', target)}"
    )


def _write(target: Path, text: str) -> None:
    target.write_text(text, encoding="utf-8")
