"""The end of a round: its trace gets its root, and MLflow gets trace and figures, once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from serm.graphs.reporting import read_report
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.storage.mlflow_names import metric_part
from serm.storage.trace import Span, SpanKind, read_spans
from serm.storage.traces_mlflow import export_round


def close_round(resources: Resources, state: SupervisorState) -> None:
    """End the round's trace, and find or make it and the round's figures in MLflow."""
    number, trace_id = state["round"], resources.trace_id(state["round"])
    report = read_report(resources, number)
    database = resources.workspace.traces
    resources.tracer(number).write(
        Span(
            trace_id=trace_id,
            span_id=trace_id,
            parent_id=None,
            name=f"round {number}",
            kind=SpanKind.ROUND,
            started=min((item.started for item in read_spans(database, trace_id)), default=state["started"]),
            inputs={"window": report["window"]},
            outputs={"verdict": state["verdict"], "counts": report["counts"]},
            ended=time.time_ns(),
        )
    )
    tags = {"serm.round": str(number), "serm.window": report["window"]["name"]}
    export_round(database, trace_id, resources.workspace.mlflow_uri, resources.registry.name, tags)
    resources.registry.log_round(trace_id, _params(state), _metrics(report))


def _params(state: SupervisorState) -> dict[str, str]:
    return {
        key: str(state[key]) for key in ("round", "champion", "challenger", "snapshot", "labels", "verdict")
    }


def _metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Figures by set, role and measure, named as MLflow allows."""
    metrics = {
        f"{metric_part(name)}/{role}/{measure.replace('@', '_at_')}": float(value)
        for name, table in report["evaluations"].items()
        for role in ("untrained", "frozen", "champion")
        for measure, value in table[role].items()
        if isinstance(value, int | float)
    }
    metrics |= {
        f"stages/{stage['stage']}/{name}": float(value)
        for stage in report["stages"]
        for name, value in stage.items()
        if isinstance(value, int | float)
    }
    if report["label_accuracy"]:
        metrics["label_accuracy"] = report["label_accuracy"]["accuracy"]
    counts = report["counts"]
    paid = {f"{what}_cost": counts[what]["cost"] for what in ("judging", "gate", "agents")}
    if judged := report["decision"]["judged"]:
        metrics |= {f"gate/{name}": float(judged[name]) for name in ("weight", "queries", "pairs", "worth")}
    return metrics | paid | {"mined": counts["mined"], "labelled": counts["labelled"]}
