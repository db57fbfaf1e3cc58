"""Where the query stream moved: clusters of queries whose share of the traffic changed.

The clusters are made from both samples without regard to which is which. If nothing drifted, the number of a
cluster's members that are current is then hypergeometric, so Fisher's exact test holds; Holm's correction
keeps the chance of any false region at the level.

Against a change in a few percent of the traffic this test is far stronger than MMD over all queries, which is
stronger against a small move of them all. `detect` asks both, each at half the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom
from sklearn.cluster import MiniBatchKMeans

from serm.relevance_model.base import FloatArray
from serm.tools.drift import DriftTest, mmd_test

Kind = Literal["new", "growing", "dying"]
NEW = 10.0  # a region whose share grew more than so many times is new; chosen
PER_REGION = 25  # queries that a cluster holds on average; chosen
MAX_CLUSTERS = 200


@dataclass(frozen=True, slots=True)
class Region:
    """One cluster of queries. `members` are rows of the current sample, nearest to the centre first."""

    kind: Kind
    members: NDArray[np.int64]
    reference: int  # queries of the reference sample in it
    current: int
    growth: float  # current share / reference share; infinite where the reference has none
    p_value: float  # after Holm's correction


def drifted_regions(
    reference: FloatArray, current: FloatArray, *, level: float, seed: int, clusters: int | None = None
) -> list[Region]:
    """Regions whose share changed at `level`, the most certain first. (m, d), (n, d)."""
    m, n = len(reference), len(current)
    if min(m, n) < 2:
        return []
    pooled = np.concatenate([reference, current]).astype(np.float32)
    count = clusters or int(np.clip((m + n) // PER_REGION, 2, MAX_CLUSTERS))
    kmeans = MiniBatchKMeans(
        n_clusters=min(count, m + n), random_state=seed, n_init=3, batch_size=1024, max_iter=50
    ).fit(pooled)
    labels = np.asarray(kmeans.labels_)
    ours = np.bincount(labels[m:], minlength=kmeans.n_clusters)
    theirs = np.bincount(labels[:m], minlength=kmeans.n_clusters)
    p_values = holm(np.array([_two_sided(a, b, m, n) for a, b in zip(theirs, ours, strict=True)]))
    regions = []
    for cluster in np.flatnonzero(p_values <= level):
        a, b = int(theirs[cluster]), int(ours[cluster])
        growth = (b / n) / (a / m) if a else float("inf")
        rows = np.flatnonzero(labels[m:] == cluster)
        centre = kmeans.cluster_centers_[cluster]
        near = np.argsort(((current[rows] - centre) ** 2).sum(axis=1), kind="stable")
        kind: Kind = "dying" if growth < 1 else "new" if growth > NEW else "growing"
        regions.append(Region(kind, rows[near], a, b, growth, float(p_values[cluster])))
    return sorted(regions, key=lambda region: (region.p_value, -region.current))


@dataclass(frozen=True, slots=True)
class Drift:
    """`p_value` is that of both tests together: twice the smaller one's."""

    p_value: float
    overall: DriftTest
    regions: list[Region]


def detect(reference: FloatArray, current: FloatArray, *, level: float, seed: int) -> Drift:
    """Whether and where queries drifted, with at most `level` chance of a false alarm. (m, d), (n, d).

    Raises ValueError where a side has fewer than two rows.
    """
    overall = mmd_test(reference, current, seed=seed)
    regions = drifted_regions(reference, current, level=level / 2, seed=seed)
    least = min([overall.p_value, *(region.p_value for region in regions)])
    return Drift(min(1.0, 2.0 * least), overall, regions)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of k p-values (k,)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(p_values[order] * np.arange(len(p_values), 0, -1), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


def _two_sided(reference: int, current: int, m: int, n: int) -> float:
    """Twice the smaller tail of Fisher's exact test."""
    law = hypergeom(m + n, n, reference + current)
    return float(min(1.0, 2.0 * min(law.cdf(current), law.sf(current - 1))))
