"""`SERM_` variables: which key each one overrides, and what its text means there.

That is decided by the key's type, never by how the text looks: a path may be `@scratch/run` or `2024`, and a
prefix may be `query: `, which YAML would take for other things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from serm.core.errors import ConfigError
from serm.core.settings_loop import JudgeSettings

ENVIRONMENT_PREFIX: Final = "SERM_"
_NEAR: Final = 0.85
"""How alike a variable and a key are where one is taken for the other misspelt (chosen; 1: the same)."""
NOTHING: Final = ("null", "~")
"""Texts that set a key to nothing, where it may be nothing."""
_NEXT_ITEM: Final = re.compile(r",")
_NEXT_JUDGE: Final = re.compile(r",(?=\s*[A-Za-z]\w*:)")
"""A comma parts two judges in front of a `kind:` alone: `simulated:accuracy=0.85,seed=7` is one."""


def with_environment(
    values: Mapping[str, Any], environment: Mapping[str, str], model: type[BaseModel]
) -> dict[str, Any]:
    """The values of a config with `SERM_` variables over them; `model` says which keys there are.

    A variable that names none of the model's keys is somebody else's, unless it nearly does: then it is
    misspelt. Raises ConfigError, by the variable's name, for such a one, and where a text is not what its key
    takes.
    """
    merged = dict(values)
    for name in sorted(environment):  # a section's variable comes before those of its keys
        text = environment[name]
        if not name.startswith(ENVIRONMENT_PREFIX) or not text:
            continue
        path = path_of(name)
        if path[0] not in model.model_fields:
            _refuse_nearly(name, model)
            continue
        target, annotation = merged, _below(model, path[0])
        for parent, child in pairwise(path):
            there = target.get(parent)
            target[parent] = dict(there) if isinstance(there, dict) else {}
            target, annotation = target[parent], _below(annotation, child)
        target[path[-1]] = _value(annotation, text, name)
    return merged


def path_of(variable: str) -> list[str]:
    """SERM_BUDGET__PAIRS_PER_ROUND -> budget, pairs_per_round."""
    return variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")


def named_by(environment: Mapping[str, str], place: Sequence[str | int]) -> str:
    """The variable that set a key, or a section above it; "" where it stands in the config."""
    said = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and environment[name]]
    words = [str(part) for part in place]
    return next((name for name in said if words[: len(path := path_of(name))] == path), "")


def _refuse_nearly(variable: str, model: type[BaseModel]) -> None:
    """Raises ConfigError for a variable that is a key's but for an underscore or a letter."""
    keys = {}
    for name, field in model.model_fields.items():
        keys[name.upper()] = name
        for kind in _kinds(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys |= {f"{name}_{key}".upper(): f"{name}__{key}" for key in kind.model_fields}
    given = variable.removeprefix(ENVIRONMENT_PREFIX)
    near = get_close_matches(given.replace("__", "_"), keys, n=1, cutoff=_NEAR)
    if near:
        raise ConfigError(
            f"the environment variable {variable} names no key.",
            f"Write {ENVIRONMENT_PREFIX}{keys[near[0]].upper()}, or unset it.",
        )


def _below(annotation: Any, key: str) -> Any:
    """The type of a key of a section or of a map; None where there is no such key."""
    for kind in _kinds(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel) and key in kind.model_fields:
            return kind.model_fields[key].annotation
        if get_origin(kind) is dict:
            return get_args(kind)[1]
    return None


def _kinds(annotation: Any) -> list[Any]:
    """The types that a value may be of: those of a union, else the one."""
    return list(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else [annotation]


def _value(annotation: Any, text: str, variable: str) -> Any:
    kinds = _kinds(annotation)
    if NoneType in kinds and text.strip() in NOTHING:
        return None
    match [kind for kind in kinds if kind is not NoneType]:
        case [kind] if kind in (str, Path, None):  # None: no such key, which the settings say better
            return text
        case [kind] if get_origin(kind) is Literal:
            return text.strip()  # YAML would make a truth value of `off`
        case [kind] if get_origin(kind) is tuple and not text.lstrip().startswith(("[", "{")):
            comma = _NEXT_JUDGE if get_args(kind)[0] is JudgeSettings else _NEXT_ITEM
            return [item for part in comma.split(text) if (item := part.strip(" \t\n,"))]
    return _read(text.strip(), variable)


def _read(text: str, variable: str) -> Any:
    """A number, a truth value, a map or a list: as in a config, or JSON where it is in brackets."""
    try:
        return json.loads(text) if text[:1] in ("[", "{") else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"the environment variable {variable} is not JSON: {error}.",
            'Put texts into double quotes: ["a", "b"] or {"a": 1}.',
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # of a date that no calendar has YAML says ValueError
        raise ConfigError(
            f"the environment variable {variable} cannot be read: {' '.join(str(error).split())}.",
            "Write it as it would stand in a config, or as JSON.",
        ) from error
