"""Names that users chose freely, as MLflow takes them in the names of metrics."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from serm.core.hashing import digest

LONGEST: Final = 222
"""Characters: MLflow takes 250 of a metric, and `/untrained/balanced_accuracy` is 28 of them."""
_ALLOWED: Final = re.compile(r"[/\w.\- :]*")
_REPLACED: Final = re.compile(r"[^\w\- ]")
_KEPT: Final = 100  # characters of a name that cannot stand, chosen


def metric_part(name: str) -> str:
    """The name, where MLflow takes it as the first part of a metric `NAME/...`; else what it can take of it,
    and a hash of the whole, so that no two names become one."""
    if len(name) <= LONGEST and _ALLOWED.fullmatch(name) and _is_a_path(f"{name}/x"):
        return name
    return f"{_REPLACED.sub('_', name)[:_KEPT]} {digest(name)}".lstrip()


def _is_a_path(name: str) -> bool:
    """As MLflow wants it: relative, and written in the only way there is."""
    return posixpath.normpath(name) == name and not name.startswith(("..", "/"))
