"""YAML that says each thing once."""

from __future__ import annotations

from typing import Any

import yaml


class _Once(yaml.SafeLoader):
    """A key that stands twice is an error: of two the last one counts, and what the first said is lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in lines:
                    raise yaml.YAMLError(
                        f"`{key.value}` stands twice, in lines {lines[key.value]} and {line}; join them"
                    )
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The value that a text stands for. Raises YAMLError, and ValueError for a date that no calendar has."""
    return yaml.load(text, _Once)
