"""Runs that ended before others of their protocol, by patience or a budget: what counts after their end."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from serm.core.settings_data import EVOLVING

RUN = ["arm", "seed", "fold"]


def carried(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each run's last measures of the tests repeated for the rounds that it did not have.

    The model in use when a run ended stays in use. What it would have had on a later window is not known.
    """
    repeated = list(_repeated(table)) if len(table) else []
    return pd.concat([table, *repeated], ignore_index=True) if repeated else table


def ended_early(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Arm, and a sentence on its runs that had fewer rounds than the longest."""
    ends = _ends(table)
    longest = int(ends.max()) if len(ends) else 0
    found = []
    for (arm, last), runs in ends[ends < longest].reset_index().groupby(["arm", "round"], sort=False):
        seeds = ", ".join(dict.fromkeys(str(seed) for seed in runs["seed"]))
        said = f"of {longest}; the model then in use stays in use in the rounds after it."
        found.append((str(arm), f"with seed {seeds} it ended after round {last} {said}"))
    return found


def _repeated(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    ends = _ends(table)
    short = ends[ends < ends.max()].rename("last").reset_index()
    if short.empty:
        return
    rows = table[table["set"] != EVOLVING].merge(short, on=RUN)
    rows = rows[rows["round"] == rows["last"]]
    for number in range(int(short["last"].min()) + 1, int(ends.max()) + 1):
        yield rows[rows["last"] < number].drop(columns="last").assign(round=number)


def _ends(table: pd.DataFrame) -> pd.Series[int]:
    """The last round of each run."""
    ends: pd.Series[int] = table.groupby(RUN, sort=False)["round"].max()
    return ends
