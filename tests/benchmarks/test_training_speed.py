"""The benchmark of a training step, on the tiny encoder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serm.benchmarks.training_speed import parts, row
from serm.core.settings_loop import ModelSettings


@pytest.mark.parametrize("frozen", [0, 1])
def test_both_loops_train_the_same_network_on_the_same_pairs(tiny_encoder: Path, frozen: int) -> None:
    settings = ModelSettings(base=str(tiny_encoder), device="cpu", max_length=16, batch_size=8)
    told = row(settings, frozen, queries=8, rounds=1)
    assert told["layers trained"] == f"{2 - frozen} of 2"
    assert float(told["ours, loss"]) == pytest.approx(float(told["plain, loss"]), rel=0.1)
    assert re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", told["plain over ours"])


def test_each_part_is_timed_with_both_kernels() -> None:
    cells = parts(rounds=1)
    assert [row[0] for row in cells.rows] == [
        "attention, forward",
        "attention, backward",
        "dropout, forward",
        "dropout, backward",
        "AdamW",
    ]
    assert all(float(value) > 0 for row in cells.rows for value in row[1:])
