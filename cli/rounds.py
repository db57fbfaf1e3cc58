"""What the workspace tells of its rounds."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
