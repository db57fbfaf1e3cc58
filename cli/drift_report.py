"""The drift report as sentences, as JSON and as one page of HTML."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from serm.graphs.drift import WindowDrift
from serm.storage.artifacts import write_file
from serm.tools.drift_regions import Region
from serm.tools.drift_tests import Shift
from serm.tools.query_map import drawn_rows, query_map

COLOURS = {"new": "#c0392b", "growing": "#e08e0b", "dying": "#6c5ce7"}
_BESIDE = " (decides nothing: miner.drift_tests)"
_WIDTH, _HEIGHT = 760, 520  # pixels of the page's map


def headline(found: WindowDrift) -> str:
    """One sentence: drifted or not, against what, how sure, and how many regions."""
    drift, desk = found.drift, found.desk
    against = f"{len(desk.current):,} queries against {len(desk.reference):,} earlier ones"
    if not drift.drifted:
        return f"Window {found.window}: no drift (p {drift.p_value:.2g}, level {drift.level:g}); {against}."
    kinds = [region.kind for region in drift.regions]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in COLOURS if kind in kinds)
    return (
        f"Window {found.window} has drifted (p {drift.p_value:.2g}, level {drift.level:g}); {against}. "
        f"Regions: {told or 'none by itself'}."
    )


def shift_rows(found: WindowDrift) -> list[tuple[Shift, str]]:
    """Tests of all queries, those that decide first, and a note on the others."""
    drift = found.drift
    return [(shift, "") for shift in drift.shifts] + [(shift, _BESIDE) for shift in drift.beside]


def region_rows(found: WindowDrift) -> list[dict[str, Any]]:
    """A region a row, plain values."""
    return [
        {
            "kind": region.kind,
            "name": facts.name,
            "basis": region.basis,
            "before": region.reference,
            "now": region.current,
            "growth": region.growth if np.isfinite(region.growth) else None,
            "growth_told": f"x {region.growth:.1f}" if np.isfinite(region.growth) else "from none",
            "p_value": region.p_value,
            "uncertainty": facts.uncertainty,
            "languages": dict(facts.languages),
            "languages_told": ", ".join(f"{name or '?'} {share:.0%}" for name, share in facts.languages),
            "examples": list(facts.examples),
        }
        for region, facts in zip(found.drift.regions, found.facts, strict=True)
    ]


def drift_json(found: WindowDrift) -> dict[str, Any]:
    """The whole report but the map. `growth` is null where the reference had none."""
    told = ("growth_told", "languages_told")
    return {
        "window": found.window,
        "number": found.number,
        "model": found.model,
        "queries": len(found.desk.current),
        "earlier_queries": len(found.desk.reference),
        "mean_uncertainty": float(found.uncertainty.mean()),
        "drifted": found.drift.drifted,
        "p_value": found.drift.p_value,
        "level": found.drift.level,
        "tests": [
            {
                "test": shift.test,
                "p_value": shift.p_value,
                "effect": shift.effect,
                "measure": shift.measure,
                "decides": not note,
            }
            for shift, note in shift_rows(found)
        ],
        "regions": [
            {key: value for key, value in row.items() if key not in told} for row in region_rows(found)
        ],
    }


def write_page(found: WindowDrift, path: Path) -> None:
    """One HTML file that needs nothing else: the map as SVG, tests and regions as tables."""
    from jinja2 import Environment

    template = files("serm.cli").joinpath("drift.html").read_text(encoding="utf-8")
    page = (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            headline=headline(found),
            shifts=shift_rows(found),
            regions=region_rows(found),
            colours=COLOURS,
            width=_WIDTH,
            height=_HEIGHT,
            **_points(found),
        )
    )

    def write(place: Path) -> None:
        place.write_text(page, encoding="utf-8")

    write_file(path, write)


def _points(found: WindowDrift) -> dict[str, Any]:
    """Points of both windows in pixels, and where each region's name stands."""
    desk, regions = found.desk, found.drift.regions
    before, now = query_map(desk.reference.embeddings, desk.current.embeddings)
    low, high = np.minimum(before.min(0), now.min(0)), np.maximum(before.max(0), now.max(0))
    scale = np.array([_WIDTH - 20, _HEIGHT - 20]) / np.maximum(high - low, 1e-9)

    def pixels(places: np.ndarray) -> np.ndarray:
        return np.asarray(np.round(10 + (places - low) * scale, 1))

    colour = [""] * len(now)
    for region in reversed(regions):  # the most certain one has the last word
        for row in region.members if region.kind != "dying" else ():
            colour[row] = COLOURS[region.kind]
    marked = np.flatnonzero([bool(item) for item in colour])
    rows = drawn_rows(len(now), marked, desk.seed)
    earlier = drawn_rows(len(before), np.zeros(0, dtype=np.int64), desk.seed)
    old, new = pixels(before), pixels(now)
    labels = [(*_centre(region, old, new), facts) for region, facts in zip(regions, found.facts, strict=True)]
    return {
        "earlier": [(*old[row].tolist(), desk.reference.names[row]) for row in earlier],
        "current": [(*new[row].tolist(), desk.current.names[row], colour[row]) for row in rows],
        "labels": [(x, y, facts.name[:40]) for x, y, facts in labels],
    }


def _centre(region: Region, before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    places = before[region.before] if region.kind == "dying" else now[region.members]
    x, y = np.median(places, axis=0).tolist()
    return x, y
