"""The drift agent's tool: has the stream moved, and where."""

from __future__ import annotations

from typing import Any

import numpy as np

from serm.tools.desk import DeskView, MiningDesk
from serm.tools.drift_regions import Region
from serm.tools.drift_report import detect, region_facts
from serm.tools.query_sample import query_means
from serm.tools.result import result
from serm.tools.telling import EXAMPLE_LENGTH, tell_nothing


def detect_drift(view: DeskView, level: float | None, max_regions: int) -> str:
    """Test whether this window's queries differ from earlier ones, and list the pairs of each region of them
    that is new or growing. A region tells its queries before and now; a dying one has no candidates."""
    desk = view.desk
    level = min(level or 1.0, desk.settings.drift_level)  # an agent may be stricter than the config, no laxer
    if why := _too_few(desk):
        return tell_nothing(view, why, drift=False, regions=[])
    found = detect(desk.reference, desk.current, level=level, seed=desk.seed, tests=desk.settings.drift_tests)
    told: dict[str, Any] = {
        "drift": found.drifted,
        "p_value": float(f"{found.p_value:.2g}"),
        "level": level,
        "tests": {
            shift.test: {"p_value": round(shift.p_value, 4), "effect": round(shift.effect, 4)}
            for shift in found.shifts
        },
        "regions_found": len(found.regions),
    }
    if not found.drifted:
        return tell_nothing(view, f"no drift: p = {found.p_value:.2g}", **told, regions=[])
    mined = [region for region in found.regions if region.kind != "dying"]
    dying = [region for region in found.regions if region.kind == "dying"]
    regions = [_told(view, region) for region in [*mined, *dying][:max_regions]]
    regions.sort(key=lambda region: not region.get("size"))  # what can be mined first: a long list is cut
    if not any(region.get("size") for region in regions):
        told["why"] = "the queries have drifted, but no region with unlabelled pairs is new or growing"
    view.looked = True
    return result({**told, "regions": regions})


def drift_facts(desk: MiningDesk, regions: int) -> dict[str, Any]:
    """The same report without candidates, for whoever decides and does not nominate: the most certain
    regions, each with its kind, queries before and now, and two examples."""
    if why := _too_few(desk):
        return {"drift": False, "why": why}
    settings = desk.settings
    found = detect(
        desk.reference, desk.current, level=settings.drift_level, seed=desk.seed, tests=settings.drift_tests
    )
    return {
        "drift": found.drifted,
        "p_value": float(f"{found.p_value:.2g}"),
        "regions_found": len(found.regions),
        "regions": [_facts(desk, region) for region in found.regions[:regions]],
    }


def _too_few(desk: MiningDesk) -> str:
    """Why there is nothing to compare; "" where there is."""
    if desk.reference.counted.sum() < 2:
        return "there are no earlier queries to compare with"
    return "the window has fewer than two queries" if desk.current.counted.sum() < 2 else ""


def _facts(desk: MiningDesk, region: Region) -> dict[str, Any]:
    examples = region_facts(region, desk.reference, desk.current).examples[:2]
    return {
        "kind": region.kind,
        "shared": region.name or region.basis,
        "queries": [region.reference, region.current],  # before, now
        "p_value": float(f"{region.p_value:.2g}"),
        "examples": [name[:EXAMPLE_LENGTH] for name in examples],
    }


def _told(view: DeskView, region: Region) -> dict[str, Any]:
    desk = view.desk
    doubt = query_means(desk.entropy, desk.query_index, len(desk.current))
    facts = region_facts(region, desk.reference, desk.current, doubt)
    told: dict[str, Any] = {
        "kind": region.kind,
        "shared": region.name or region.basis,
        "queries": [region.reference, region.current],  # before, now
        "growth": round(region.growth, 2) if np.isfinite(region.growth) else "none before",
        "p_value": float(f"{region.p_value:.2g}"),
        "languages": {name[:8]: round(share, 2) for name, share in facts.languages[:2]},
    }
    if facts.uncertainty is not None:
        told["mean_entropy"] = round(facts.uncertainty, 2)
    if region.kind != "dying":
        rows = np.flatnonzero(np.isin(desk.query_index, region.members))
        like = facts.name[:EXAMPLE_LENGTH]
        made = view.offer(
            f"{region.kind} region ({like}), entropy", rows, desk.weighed(rows, desk.entropy[rows])
        )
        told |= {"candidates": made.id, "size": len(made.rows)}
    return told | {"examples": [name[:EXAMPLE_LENGTH] for name in facts.examples]}
