"""The map of a drift report as a PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serm.cli.drift_report import COLOURS, headline
from serm.graphs.drift import WindowDrift
from serm.storage.artifacts import write_file
from serm.tools.query_map import drawn_rows, query_map

LABELS = 8  # regions that are named in the picture; all are coloured


def draw_map(found: WindowDrift, path: Path) -> None:
    """Earlier queries and the window's on the two main components of their embeddings, regions named."""
    from matplotlib.figure import Figure

    desk, regions = found.desk, found.drift.regions
    before, now = query_map(desk.reference.embeddings, desk.current.embeddings)
    none = np.zeros(0, dtype=np.int64)
    figure = Figure(figsize=(9, 6.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    for places, colour, name in ((before, "#c9d1d9", "before"), (now, "#4c78a8", found.window)):
        shown = places[drawn_rows(len(places), none, desk.seed)]
        axes.scatter(shown[:, 0], shown[:, 1], s=7, c=colour, linewidths=0, label=name.replace("$", r"\$"))
    for kind, colour in COLOURS.items():
        side, parts = (before, "before") if kind == "dying" else (now, "members")
        rows = [getattr(region, parts) for region in regions if region.kind == kind]
        if rows:
            places = side[np.concatenate(rows)]
            axes.scatter(places[:, 0], places[:, 1], s=16, c=colour, linewidths=0, label=kind)
    for region, facts in list(zip(regions, found.facts, strict=True))[:LABELS]:
        places = before[region.before] if region.kind == "dying" else now[region.members]
        axes.annotate(
            facts.name[:40],
            (float(np.median(places[:, 0])), float(np.median(places[:, 1]))),
            fontsize=7,
            color=COLOURS[region.kind],
            parse_math=False,  # "$" in a query is money
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": COLOURS[region.kind], "alpha": 0.85},
        )
    axes.set_title(headline(found), fontsize=8, loc="left", wrap=True, parse_math=False)
    axes.set_xlabel("first component", fontsize=8)
    axes.set_ylabel("second component", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=8, loc="best", frameon=False)
    write_file(path, lambda place: figure.savefig(place, format="png"))
