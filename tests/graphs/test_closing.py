"""What a closed round tells MLflow."""

from __future__ import annotations

from mlflow.utils.validation import _validate_metric_name

from serm.graphs.closing import _metrics


def test_figures_of_a_test_with_any_name_are_metrics() -> None:
    table = {role: {"ndcg@4": 0.5} for role in ("untrained", "frozen", "champion")}
    report = {
        "evaluations": {"late": table, "all (2021)": table, "all [2021]": table},
        "stages": [],
        "label_accuracy": None,
        "counts": {what: {"cost": 0.0} for what in ("judging", "gate", "agents")}
        | {"mined": 1, "labelled": 1},
        "decision": {"judged": None},
    }
    metrics = _metrics(report)
    for name in metrics:
        _validate_metric_name(name)
    assert metrics["late/champion/ndcg_at_4"] == 0.5
    assert sum(name.endswith("/champion/ndcg_at_4") for name in metrics) == 3
