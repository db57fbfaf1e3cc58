"""The spans of one trace as a tree, whatever kills left of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from serm.storage.trace import Span, SpanKind


@dataclass(frozen=True)
class SpanTree:
    """One root, and the children of every span in the order in which they started."""

    root: Span
    children: dict[str, tuple[Span, ...]]  # by the parent's span_id

    def under(self, span: Span) -> tuple[Span, ...]:
        return self.children.get(span.span_id, ())

    def walk(self) -> Iterator[tuple[int, Span]]:
        """(depth, span) of every span, a parent before its children; the root has depth 0."""
        stack = [(0, self.root)]
        while stack:
            depth, span = stack.pop()
            yield depth, span
            stack += [(depth + 1, child) for child in reversed(self.under(span))]


def build_tree(spans: Sequence[Span]) -> SpanTree:
    """Put `spans` (not empty, of one trace) into one tree.

    A span is written when it ends, so what a kill cut off is not there, and its children have lost their
    parent: they are put under the root. The root is the round's span, or where the round never ended, one
    made up for it, without outputs. It spans the time of all spans.
    """
    if not spans:
        raise ValueError("a trace without spans has no tree")
    ordered = sorted(spans, key=lambda span: span.started)
    root = _root(ordered)
    known = {span.span_id for span in ordered}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in ordered:
        if span.span_id != root.span_id:
            parent = span.parent_id if span.parent_id in known else None
            children[parent or root.span_id].append(span)
    return SpanTree(root, {parent: tuple(below) for parent, below in children.items()})


def _root(spans: Sequence[Span]) -> Span:
    rounds = [span for span in spans if span.kind is SpanKind.ROUND]
    known = {span.span_id for span in spans}
    tops = [span for span in rounds if span.parent_id not in known] or rounds
    if tops:
        root = max(tops, key=lambda span: span.ended)  # the process that brought the round to its end
    else:
        orphan_of = next((span.parent_id for span in spans if span.parent_id not in known), None)
        root = Span(
            trace_id=spans[0].trace_id,
            span_id=orphan_of or f"root-{spans[0].trace_id}",
            parent_id=None,
            name="round (not finished)",
            kind=SpanKind.ROUND,
            started=spans[0].started,
            inputs={},
            ended=max(span.ended for span in spans),
        )
    first, last = min(span.started for span in spans), max(span.ended for span in spans)
    return replace(root, started=first, ended=last)
