"""Confusion matrices as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from serm.core.errors import ConfigError
from serm.core.records import GRADES
from serm.evals.agreement import AgreementReport
from serm.storage.artifacts import storage_errors

_ACROSS: Final = 3  # panels side by side, at most
_SIDE: Final = 3.4  # inches
_KINDS: Final = (".png", ".svg", ".pdf")


def draw(report: AgreementReport, file: Path) -> None:
    """One matrix a rater, the panel first: pairs as numbers, shares of the human grade as colour.

    The picture's kind is that of the file's ending: png, svg or pdf. Nothing is shown on a screen. Raises
    ConfigError for another ending, StorageError where the file cannot be written.
    """
    if file.suffix.lower() not in _KINDS:
        raise ConfigError(f"{file} is no name of a picture.", f"Let it end in {', '.join(_KINDS)}.")
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    raters = [report.panel, *report.judges]
    columns = min(_ACROSS, len(raters))
    rows = math.ceil(len(raters) / columns)
    figure = Figure(figsize=(_SIDE * columns, (_SIDE + 0.3) * rows), layout="tight")
    FigureCanvasAgg(figure)
    for place, rater in enumerate(raters, start=1):
        axes = figure.add_subplot(rows, columns, place)
        table = np.array(rater.confusion, dtype=float)
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for human in GRADES:
            for given in GRADES:
                axes.text(
                    given,
                    human,
                    f"{int(table[human, given]):,}",
                    ha="center",
                    va="center",
                    color="white" if shares[human, given] > 0.5 else "black",
                )
        kappa = rater.measures["kappa"].mean
        axes.set_title(f"{rater.name}\nkappa {kappa:.3f}", fontsize=10, parse_math=False)
        axes.set(xticks=GRADES, yticks=GRADES, xlabel="its grade", ylabel="people's grade")
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)
