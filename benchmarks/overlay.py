"""Settings laid over others, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(values: Mapping[str, Any], change: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """`values` with `change` over it, mapping by mapping; `miner.agents` as a whole, as lists are: an agent
    that a change does not name is off. `section`: the key that both stand under."""
    result = dict(values)
    for key, value in change.items():
        there = result.get(key)
        whole = (section, key) == ("miner", "agents")
        if isinstance(there, Mapping) and isinstance(value, Mapping) and not whole:
            value = merged(there, value, key)  # noqa: PLW2901
        result[key] = value
    return result


def unstated(change: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """`change` without the keys of its sections that a config states itself."""
    there = {section: keys for section, keys in stated.items() if isinstance(keys, Mapping)}
    return {
        section: {name: value for name, value in keys.items() if name not in there.get(section, {})}
        for section, keys in change.items()
    }
