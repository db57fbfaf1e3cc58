"""Free names in the names of metrics."""

from __future__ import annotations

import pytest
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

from serm.storage.mlflow_names import metric_part

LONG = "x" * 300
MEASURED = "/untrained/balanced_accuracy"
FREE = ("all (2021)", "all [2021]", "a & b", "a+b", "", "..", "../a", "..a", "a//b", "a/", "/a", "a\nb")


@pytest.mark.parametrize("name", [*FREE, LONG])
def test_any_name_becomes_one_that_mlflow_takes(name: str) -> None:
    metric = metric_part(name) + MEASURED
    _validate_metric_name(metric)
    assert len(metric) <= MAX_ENTITY_KEY_LENGTH


def test_no_two_names_become_one() -> None:
    assert len({metric_part(name) for name in (*FREE, LONG)}) == len(FREE) + 1


@pytest.mark.parametrize("name", ["test", "window-1", "de 2021", "a/b", "v1.2: new", "für", ".a", "x" * 222])
def test_a_name_that_mlflow_takes_stays_as_it_is(name: str) -> None:
    _validate_metric_name(name + MEASURED)
    assert metric_part(name) == name
