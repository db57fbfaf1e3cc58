"""A round's spans as a tree to print: times, calls, tokens, cost, what agents asked their tools and got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from serm.cli.format import clean, count, duration, money, short
from serm.storage.span_tree import SpanTree
from serm.storage.trace import Span, SpanKind

WIDTH: Final = 100  # characters of a tool's arguments or result, of a reason or an error
WHOLE: Final = 10**9
SHOWN: Final = 10  # like spans beside each other, before the rest is only counted

_STYLES: Final = {
    SpanKind.ROUND: "bold",
    SpanKind.GRAPH: "bold",
    SpanKind.NODE: "bold cyan",
    SpanKind.AGENT: "bold magenta",
    SpanKind.MODEL: "blue",
    SpanKind.TOOL: "green",
    SpanKind.SHARD: "yellow",
    SpanKind.CALL: "dim",
}
_LABELED: Final = (SpanKind.AGENT, SpanKind.MODEL, SpanKind.TOOL, SpanKind.CALL)
_DETAILED: Final = (SpanKind.MODEL, SpanKind.TOOL, SpanKind.CALL)


@dataclass(frozen=True, slots=True)
class Usage:
    """What LLMs did under a span: requests to judges and turns of agents' models."""

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.calls + other.calls, self.tokens + other.tokens, self.cost + other.cost)


def own_usage(span: Span) -> Usage:
    """Of shards and of model turns that used tokens. CALL spans are a sample of what shards count already."""
    found: dict[str, Any] = {**(span.outputs if isinstance(span.outputs, dict) else {}), **span.attributes}
    tokens = int(found.get("tokens_in") or 0) + int(found.get("tokens_out") or 0)
    cost = float(found.get("cost") or 0.0)
    if span.kind is SpanKind.SHARD:
        return Usage(int(found.get("requests") or 0), int(found.get("tokens") or tokens), cost)
    if span.kind is SpanKind.MODEL and tokens:
        return Usage(1, tokens, cost)
    return Usage()


def usage_under(tree: SpanTree, span: Span) -> Usage:
    total, stack = Usage(), [span]
    while stack:
        item = stack.pop()
        total += own_usage(item)
        stack += tree.under(item)
    return total


def render_tree(tree: SpanTree, *, everything: bool = False, width: int = WIDTH) -> Tree:
    """The tree to print; like neighbours beyond the first ten are counted, unless `everything` is asked.
    Texts are cut at `width` characters."""
    drawn = Tree(_line(tree, tree.root, width))
    _draw(drawn, tree, tree.under(tree.root), everything, width)
    return drawn


def _draw(drawn: Tree, tree: SpanTree, spans: Sequence[Span], everything: bool, width: int) -> None:
    for _, group in groupby(spans, key=lambda span: (span.kind, span.name, bool(span.error))):
        alike = list(group)
        shown = alike if everything or len(alike) <= SHOWN + 2 else alike[:SHOWN]
        for span in shown:
            branch = drawn.add(_line(tree, span, width))
            _draw(branch, tree, tree.under(span), everything, width)
        if len(shown) < len(alike):
            rest = len(alike) - len(shown)
            drawn.add(Text(f"… and {rest} more of these (--all shows them)", style="dim"))


def _line(tree: SpanTree, span: Span, width: int) -> Text:
    line = Text()
    if span.kind in _LABELED and not span.name.startswith(span.kind.value):
        line.append(f"{span.kind.value} ", style="dim")
    line.append(clean(span.name), style=_STYLES[span.kind])  # a model may call a tool that there is not
    line.append(f"  {duration(span.ended - span.started)}", style="dim")
    used = usage_under(tree, span)
    if used.calls:
        line.append(f"  {count(used.calls, 'call')}, {count(used.tokens, 'token')}", style="dim")
        if used.cost:
            line.append(f", cost {money(used.cost)}", style="dim")
    for text, style in _remarks(span, width):
        line.append(f"  {clean(text)}", style=style)
    return line


def _remarks(span: Span, width: int) -> list[tuple[str, str]]:
    remarks = []
    if span.kind is SpanKind.SHARD and isinstance(span.outputs, dict):
        parts = [f"{span.outputs[key]:,} {key}" for key in _SHARD if span.outputs.get(key)]
        remarks.append((", ".join(parts), ""))
    if span.attributes.get("simulated"):
        remarks.append(("SIMULATED", "bold red"))
    if span.kind is SpanKind.AGENT and span.attributes.get("policy"):
        remarks.append((f"by {span.attributes['policy']}", ""))
    if span.attributes.get("waits"):
        waits = ", ".join(
            item.get("question") or f"{item['pairs']} pairs" for item in span.attributes["waits"]
        )
        remarks.append((f"waits for a person: {short(waits, width)}", "yellow"))
    if span.kind is SpanKind.MODEL and span.attributes.get("recorded"):
        remarks.append(("paid before", ""))
    if span.kind is SpanKind.AGENT and "answered" in span.attributes:
        told = span.attributes
        remarks.append((f"{told['answered']} of {told['asked']} answered, {told['skipped']} skipped", ""))
    if span.attributes.get("fell_back"):
        remarks.append((f"fell back to rules: {short(span.attributes.get('reason', ''), width)}", "yellow"))
    if span.kind in _DETAILED:
        given = " ".join(f"{key}={short(value, width)}" for key, value in span.inputs.items())
        if given and span.kind is not SpanKind.MODEL:
            remarks.append((short(given, width), ""))
        if span.outputs not in (None, "", {}, []):
            remarks.append((f"→ {short(_said(span.outputs), width)}", ""))
    if span.error:
        remarks.append((f"✗ {short(span.error, width)}", "bold red"))
    return remarks


def _said(outputs: Any) -> str:
    """A model's turn as it would be written: its words, then the calls it makes."""
    if not isinstance(outputs, dict) or "tool_calls" not in outputs:
        return str(outputs)
    calls = [
        f"{call['name']}({', '.join(f'{key}={value}' for key, value in (call['args'] or {}).items())})"
        for call in outputs["tool_calls"]
    ]
    return " ".join([*filter(None, [outputs.get("text")]), *calls])


_SHARD: Final = ("asked", "recorded", "graded", "failed")
