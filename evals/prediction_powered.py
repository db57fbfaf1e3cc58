"""A mean over few human-graded queries and many judge-graded ones: prediction-powered inference.

Judges' grades alone give a tight interval around a biased mean; human grades alone a wide one around the true
mean. Angelopoulos et al. (Science 2023, "Prediction-powered inference") take the judges' mean over the many
queries and correct it by what the judges get wrong on the few that people have graded. With the weight of
Angelopoulos, Duchi and Zrnic (arXiv 2311.01453, "PPI++", section 6) the judges count for as much as they are
worth: with judges that know nothing the weight goes to 0, and what is left is the human mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from serm.core.records import Interval

LEAST = 10
"""Human-graded queries under which a weight cannot be learned: the human mean stands alone. Chosen."""


@dataclass(frozen=True, slots=True)
class PredictionPowered:
    """A mean with its interval, and what the judges brought to it."""

    interval: Interval  # of the mean over the population of queries; `n` counts the human-graded ones
    human: Interval  # the same from the human grades alone
    weight: float  # of the judges, 0 to 1; 0: they were of no use
    judged: int  # queries that judges alone have graded
    correlation: float  # of human and judged values on the queries that both graded

    @property
    def worth(self) -> float:
        """How many times as many human-graded queries would give an interval as narrow; 1: nothing gained."""
        widths = [self.human.high - self.human.low, self.interval.high - self.interval.low]
        return (widths[0] / widths[1]) ** 2 if widths[1] > 0 else 1.0


def prediction_powered(
    human: ArrayLike,
    judged: ArrayLike,
    judged_only: ArrayLike,
    level: float,
    *,
    one_sided: bool = False,
) -> PredictionPowered:
    """The mean of a value of queries (a difference in NDCG, say) over the population they are drawn from.

    `human` and `judged`: (n,) the value by human and by judges' grades, of the same n queries in order;
    `judged_only`: (m,) by judges' grades, of further queries from the same population. Rows with a NaN are
    left out. Student's t with n - 1 degrees of freedom; one-sided, `low` alone holds with `level`, and so
    does `high`. With fewer than two human-graded queries there is no interval.
    """
    h, j = _both(human, judged)
    further = _measured(judged_only)
    alone = _interval(float(h.mean()) if len(h) else math.nan, _variance_of_mean(h), len(h), level, one_sided)
    if len(h) < LEAST or len(further) < 2 or np.ptp(j) == 0:
        return PredictionPowered(alone, alone, 0.0, len(further), math.nan)
    n, m = len(h), len(further)
    covariance = np.cov(h, j, ddof=1)
    weight = float(np.clip(covariance[0, 1] / ((1 + n / m) * covariance[1, 1]), 0.0, 1.0))
    mean = weight * float(further.mean()) + float((h - weight * j).mean())
    variance = weight**2 * _variance_of_mean(further) + _variance_of_mean(h - weight * j)
    spread = math.sqrt(covariance[0, 0] * covariance[1, 1])
    correlation = float(covariance[0, 1] / spread) if spread > 0 else math.nan
    powered = _interval(mean, variance, n, level, one_sided)
    return PredictionPowered(powered, alone, weight, m, correlation)


def _interval(mean: float, variance: float, n: int, level: float, one_sided: bool) -> Interval:
    if n < 2:
        return Interval(mean, math.nan, math.nan, n, level)
    reach = float(stdtrit(n - 1, level if one_sided else (1 + level) / 2)) * math.sqrt(variance)
    return Interval(mean, mean - reach, mean + reach, n, level)


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan


def _both(human: ArrayLike, judged: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    h, j = np.asarray(human, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    if h.shape != j.shape:
        raise ValueError(f"paired values have one shape; these have {h.shape} and {j.shape}")
    kept = ~(np.isnan(h) | np.isnan(j))
    return h[kept], j[kept]


def _measured(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]
