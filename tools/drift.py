"""Has the query stream moved? The two-sample test by maximum mean discrepancy; `drift_tests` has others.

Source: Gretton et al., A Kernel Two-Sample Test, JMLR 2012: unbiased MMD^2 with an RBF kernel, the bandwidth
by the median heuristic, the p-value by permuting which sample a query belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serm.relevance_model.base import FloatArray

PERMUTATIONS = 199  # p-values in steps of 1/200; chosen
MAX_SAMPLE = 2_000  # queries a side; more are drawn at random, which costs power and never validity
BLOCK = 512  # rows of the kernel matrix at a time: memory is BLOCK x N, never N x N


@dataclass(frozen=True, slots=True)
class DriftTest:
    """`effect` is MMD (0 where the estimate is negative); `z` how many deviations of the permuted MMD^2 the
    observed one lies above their mean."""

    p_value: float
    effect: float
    z: float
    reference: int  # queries compared
    current: int


def mmd_test(
    reference: FloatArray,
    current: FloatArray,
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
    max_sample: int = MAX_SAMPLE,
) -> DriftTest:
    """Test whether (m, d) and (n, d) were drawn from one distribution. p is uniform where they were.

    Raises ValueError where a side has fewer than two rows.
    """
    if min(len(reference), len(current)) < 2:
        raise ValueError("a drift test needs at least two queries on either side")
    rng = np.random.default_rng(seed)
    left, right = (drawn(side, max_sample, rng) for side in (reference, current))
    m, n = len(left), len(right)
    pooled = np.concatenate([left, right]).astype(np.float32)
    members = np.zeros((m + n, permutations + 1), dtype=np.float32)  # column 0: the samples as they came
    members[:m, 0] = 1.0
    for column in range(1, permutations + 1):
        members[rng.permutation(m + n)[:m], column] = 1.0
    rows, within = _kernel_sums(pooled, _median_distance(pooled, rng), members)
    between = rows @ members - within
    rest = rows.sum() - within - 2.0 * between
    values = within / (m * (m - 1)) + rest / (n * (n - 1)) - 2.0 * between / (m * n)
    observed, permuted = values[0], values[1:]
    # Ties count against drift, with room for float32 rounding (identical texts make exact ties).
    reached = int((permuted >= observed - 1e-7).sum())
    return DriftTest(
        p_value=(1 + reached) / (1 + permutations),
        effect=float(np.sqrt(max(observed, 0.0))),
        z=float((observed - permuted.mean()) / max(float(permuted.std()), 1e-12)),
        reference=m,
        current=n,
    )


def drawn(side: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    """All rows, or `size` of them at random."""
    return side if len(side) <= size else side[np.sort(rng.choice(len(side), size, replace=False))]


def _median_distance(pooled: FloatArray, rng: np.random.Generator, size: int = 500) -> float:
    """Median squared distance of at most `size` rows to each other: the bandwidth."""
    some = drawn(pooled, size, rng)
    distances = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
    return max(float(np.median(distances)), 1e-6)


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0.0), dtype=np.float32)


def _kernel_sums(
    pooled: FloatArray, bandwidth: float, members: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row sums of the kernel without its diagonal (N,), and its sum within each membership (P,)."""
    rows = np.zeros(len(pooled))
    within = np.zeros(members.shape[1])
    for start in range(0, len(pooled), BLOCK):
        stop = min(start + BLOCK, len(pooled))
        kernel = np.exp(-_squared_distances(pooled[start:stop], pooled) / bandwidth)
        kernel[np.arange(stop - start), np.arange(start, stop)] = 0.0
        rows[start:stop] = kernel.sum(axis=1, dtype=np.float64)
        within += ((kernel @ members) * members[start:stop]).sum(axis=0, dtype=np.float64)
    return rows, within
