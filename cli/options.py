"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A config file, or a folder of data.")]
Place = Annotated[
    Path, typer.Argument(metavar="CONFIG|WORKSPACE", help="A config file, a folder of data, or a workspace.")
]
Round = Annotated[
    int | None, typer.Option("--round", min=1, help="The round; the newest finished one by default.")
]
Version = Annotated[
    int | None, typer.Option("--version", min=1, help="A version of `serm models`; the champion by default.")
]
Window = Annotated[
    str | None, typer.Option("--window", help="A window, by number or name; the last one by default.")
]
