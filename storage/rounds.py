"""The reports of rounds, as they lie in a workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_rounds(folder: Path) -> list[dict[str, Any]]:
    """The reports of the finished rounds in a workspace's rounds/, the oldest first.

    Round 0 is what was there before any mining. They are sorted by number: as text 1000 stands before 101.
    """
    paths = sorted(folder.glob("*/round.json"), key=lambda path: int(path.parent.name))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]
