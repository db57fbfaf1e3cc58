"""docs/config.md, made from the settings models: their fields, types, defaults and the comments beside them.

python -m serm.cli.config_docs > docs/config.md
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from serm.core.environment import ENVIRONMENT_PREFIX
from serm.core.settings import ACCEPTED, ALSO_FREE, NOT_IDENTITY, Settings

_HEAD = """\
# The config, every key

Written by `python -m serm.cli.config_docs > docs/config.md` from the settings models in `core/settings*.py`;
a test compares the two. `serm init` writes a config with the keys that people change, and comments.

- Unknown keys are errors. Paths are relative to the config's file.
- A variable `{prefix}` and the key overrides a key: `SERM_JUDGES=openai:gpt-4o`,
  `SERM_BUDGET__PAIRS_PER_ROUND=300` (two underscores go one level down). What its text means is decided by
  the key's type: a text or a path is taken as it stands, blanks too; a list is JSON or comma-separated, and
  of judges a comma parts two in front of a `kind:` alone (`simulated:seed=1,path=0.1,openai:gpt-4o` are two);
  a map is JSON; `null` sets a key that may be nothing to nothing.
- A workspace is bound to the keys that decide results. These may change between two runs in one workspace:
  {free}.
  And these where you say so (`serm evolve --accept-changes`, docs/python.md): {accepted}.
"""

_PLAIN: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "nothing",
    JsonValue: "anything that JSON has",
}


def render() -> str:
    """The whole page, as Markdown."""
    paths: dict[type[BaseModel], str] = {}
    for section, path in _paths("", Settings):
        paths.setdefault(section, path)  # one that is used twice stands where it is first
    keys = (f"{section}.{name}" for section, names in ALSO_FREE.items() for name in names)
    free = ", ".join(f"`{name}`" for name in (*NOT_IDENTITY, *keys))
    accepted = ", ".join(f"`{name}`" for name in ACCEPTED)
    parts = [
        _HEAD.format(prefix=ENVIRONMENT_PREFIX, free=free, accepted=accepted),
        "## At the top\n",
        _table(Settings, paths),
    ]
    for model, path in paths.items():
        parts += [f"## {path}\n", *([f"{about}\n"] if (about := _about(model)) else []), _table(model, paths)]
    return "\n".join(parts)


def _paths(path: str, model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    for name, info in model.model_fields.items():
        many = {"tuple": "[]", "dict": ".NAME"}.get(getattr(get_origin(info.annotation), "__name__", ""), "")
        for section in _models_of(info.annotation):
            yield section, f"{path}{name}{many}"
            yield from _paths(f"{path}{name}{many}.", section)


def _about(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__dict__.get("__doc__") or "")


def _table(model: type[BaseModel], paths: dict[type[BaseModel], str]) -> str:
    texts = field_texts(model)
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, info in model.model_fields.items():
        where = [paths[section] for section in _models_of(info.annotation)]
        links = [f"see [{path}](#{_anchor(path)})" for path in where]
        text = "; ".join([*filter(None, [texts.get(name, "").rstrip(".")]), *links])
        cells = (f"`{name}`", _type(info), _default(info), text)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", heading.lower())


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """What stands beside each field in the source: its comment, and the text right under it."""
    source = textwrap.dedent(inspect.getsource(model))
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for node, below in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        lines = range(node.lineno, (node.end_lineno or 0) + 1)
        beside = [comments[line] for line in lines if line in comments]
        if (
            isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            beside.append(re.sub(r"\s+", " ", below.value.value).strip())
        found[node.target.id] = " ".join(beside)
    return found


def _models_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_of(part)]


def _type(info: FieldInfo) -> str:
    return _limited(_spell(info.annotation), info.metadata)


def _limited(text: str, metadata: Iterable[Any]) -> str:
    limits = [
        f"{sign} {getattr(item, name):g}"
        for item in metadata
        for name, sign in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"))
        if getattr(item, name, None) is not None
    ]
    return f"{text}, {' '.join(limits)}" if limits else text


def _spell(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in _COMPOUND:
        return _COMPOUND[origin](inner)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section"
    return _PLAIN.get(annotation) or str(annotation.__name__).lower()


def _either(inner: tuple[Any, ...]) -> str:
    return " or ".join(_spell(part) for part in inner if part is not type(None))


def _annotated(inner: tuple[Any, ...]) -> str:
    kind, *beside = inner
    found = [part.metadata if isinstance(part, FieldInfo) else [part] for part in beside]
    return _limited(_spell(kind), chain.from_iterable(found))


_COMPOUND: dict[Any, Callable[[tuple[Any, ...]], str]] = {
    Annotated: _annotated,
    Literal: lambda inner: ", ".join(f"`{value}`" for value in inner),
    Union: _either,
    UnionType: _either,
    tuple: lambda inner: f"list of {_spell(inner[0])}",
    dict: lambda inner: f"map of {_spell(inner[0])} to {_spell(inner[1])}",
}


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**must be given**"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, dict):
        return "`" + ", ".join(f"{key}: {item:g}" for key, item in value.items()) + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(render())
