"""A mean over few human-graded queries and many judge-graded ones: prediction-powered inference.

Judges' grades alone give a tight interval around a biased mean; human grades alone a wide one around the true
mean. Angelopoulos et al. (Science 2023, "Prediction-powered inference") take the judges' mean over the many
queries and correct it by what the judges get wrong on the few that people have graded. With the weight of
Angelopoulos, Duchi and Zrnic (arXiv 2311.01453, "PPI++", section 6) the judges count for as much as they are
worth: with judges that know nothing the weight goes to 0, and what is left is the human mean.

Windows are strata, as in Fisch et al. (arXiv 2406.04291): within each, people and judges have graded queries
of one population; the human-graded ones say how much each counts. A query with one grade has no NDCG, and of
one that judges alone have graded nobody knows whether it has: so the mean over the queries that have one is
taken as a ratio, of the sum of changes to the number of queries that have one, both prediction-powered, with
the variance of the linearised ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from serm.core.records import Interval
from serm.evals.bootstrap import POWER

LEAST: Final = 10
"""Human values under which a weight cannot be learned: the human mean stands alone. Chosen."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stratum:
    """Queries of one population. NaN: the query has no value by those grades, and is not in the mean."""

    human: Floats  # (n,) by human grades
    judged: Floats  # (n,) by judges' grades, of the same queries in order
    judged_only: Floats  # (m,) by judges' grades, of further queries

    @classmethod
    def of(cls, human: ArrayLike, judged: ArrayLike, judged_only: ArrayLike) -> Stratum:
        """Raises ValueError where `human` and `judged` differ in shape."""
        h, j = np.asarray(human, dtype=np.float64), np.asarray(judged, dtype=np.float64)
        if h.shape != j.shape:
            raise ValueError(f"paired values have one shape; these have {h.shape} and {j.shape}")
        return cls(h, j, np.asarray(judged_only, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class PredictionPowered:
    """A mean with its interval, and what the judges brought to it."""

    interval: Interval  # of the mean over the population of queries; `n` counts the human-graded ones
    human: Interval  # the same from the human grades alone
    weight: float  # of the judges, 0 to 1; 0: they were of no use, and `interval` is `human`
    judged: int  # queries that judges alone have graded
    beside: int  # human-graded ones in their strata: what the weight is learned from
    correlation: float  # of human and judged values on the queries that both graded
    freedom: int  # degrees of freedom of Student's t
    variance: float  # of the mean
    of_judges: float  # the part of it that further human grades do not lower

    @property
    def worth(self) -> float:
        """How many times as many human-graded queries would give an interval as narrow; 1: nothing gained."""
        widths = [self.human.high - self.human.low, self.interval.high - self.interval.low]
        return (widths[0] / widths[1]) ** 2 if widths[1] > 0 else 1.0

    @property
    def detectable(self) -> float:
        """The smallest true mean that a one-sided test at the interval's level finds with power .8."""
        return self._reach() * math.sqrt(self.variance) if self.freedom > 0 else math.inf

    def queries_needed(self, change: float) -> int:
        """Further human-graded queries until `detectable` is at most `change`, beside the judged ones there
        are; -1 where no number of them is enough."""
        if self.freedom < 1:
            return -1
        allowed = (change / self._reach()) ** 2 - self.of_judges
        if allowed <= 0:
            return -1
        n = self.interval.n
        return max(0, math.ceil(n * (self.variance - self.of_judges) / allowed) - n)

    def _reach(self) -> float:
        level = self.interval.level
        return float(stdtrit(self.freedom, level) + stdtrit(self.freedom, POWER))


def prediction_powered(
    human: ArrayLike,
    judged: ArrayLike,
    judged_only: ArrayLike,
    level: float,
    *,
    one_sided: bool = False,
) -> PredictionPowered:
    """`stratified` with one stratum: see `Stratum` for the values."""
    return stratified([Stratum.of(human, judged, judged_only)], level, one_sided=one_sided)


def stratified(
    strata: Sequence[Stratum], level: float, *, one_sided: bool = False, least: int = LEAST
) -> PredictionPowered:
    """The mean of a value of queries (a difference in NDCG, say) over the population they are drawn from.

    Each stratum counts by its human-graded queries. Judges enter where there are at least two of these and
    two judged-only ones; the other strata are human alone, together. One weight for all. Student's t, with as
    many degrees of freedom as there are human values less strata; one-sided, `low` alone holds with `level`,
    and so does `high`. With fewer than two human values there is no interval, and with fewer than `least` of
    those beside judged-only queries the judges' weight is 0.
    """
    parts = _parts(strata)
    plain = _estimate(parts, 0.0)
    weight, correlation = _weight(parts, plain, least)
    powered = _estimate(parts, weight) if weight > 0 else plain
    return PredictionPowered(
        interval=_interval(powered, level, one_sided),
        human=_interval(plain, level, one_sided),
        weight=weight,
        judged=sum(part.m for part in parts),
        beside=sum(part.values for part in parts if part.m),
        correlation=correlation,
        freedom=powered.freedom,
        variance=powered.variance,
        of_judges=powered.of_judges,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Moments of a stratum's columns: value (0 where there is none) and whether there is one, of people and
    of judges on the n queries that both have graded (4), of judges on the m further ones (2)."""

    share: float
    n: int
    values: int  # human ones
    mean: Floats  # (4,)
    spread: Floats  # (4, 4)
    m: int
    further_mean: Floats  # (2,)
    further_spread: Floats  # (2, 2)

    def total(self, column: int, weight: float) -> float:
        """The prediction-powered mean of a column: 0 the value, 1 whether there is one."""
        if not self.m:
            return float(self.mean[column])
        correction = self.mean[column] - weight * self.mean[2 + column]
        return float(weight * self.further_mean[column] + correction)

    def variances(self, mean: float, weight: float) -> tuple[float, float]:
        """Of what the linearised ratio takes from the n queries, and from the m."""
        line = np.array([1.0, -mean])
        weight = weight if self.m else 0.0
        both = np.concatenate([line, -weight * line])
        of_judges = weight**2 * float(line @ self.further_spread @ line) / self.m if self.m else 0.0
        return float(both @ self.spread @ both) / self.n, of_judges


@dataclass(frozen=True, slots=True)
class _Estimate:
    mean: float
    variance: float
    of_judges: float
    n: int
    freedom: int


def _parts(strata: Sequence[Stratum]) -> list[_Part]:
    total = sum(len(item.human) for item in strata)
    used = [item for item in strata if len(item.human) > 1 and len(item.judged_only) > 1]
    rest = [item for item in strata if len(item.human) > 0 and not any(item is other for other in used)]
    if rest:
        human = np.concatenate([item.human for item in rest])
        judged = np.concatenate([item.judged for item in rest])
        used.append(Stratum(human, judged, np.empty(0)))
    return [_part(item, len(item.human) / total) for item in used]


def _part(item: Stratum, share: float) -> _Part:
    both = np.vstack([*_known(item.human), *_known(item.judged)])
    further = np.vstack(_known(item.judged_only))
    return _Part(
        share=share,
        n=len(item.human),
        values=int(both[1].sum()),
        mean=both.mean(axis=1),
        spread=_covariance(both),
        m=len(item.judged_only),
        further_mean=further.mean(axis=1) if len(item.judged_only) else np.zeros(2),
        further_spread=_covariance(further),
    )


def _known(values: Floats) -> tuple[Floats, Floats]:
    there = ~np.isnan(values)
    return np.where(there, values, 0.0), there.astype(np.float64)


def _covariance(rows: Floats) -> Floats:
    """(k, n) -> (k, k); zeros with fewer than two columns."""
    n = rows.shape[1]
    if n < 2:
        return np.zeros((len(rows), len(rows)))
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / (n - 1), dtype=np.float64)


def _estimate(parts: Sequence[_Part], weight: float) -> _Estimate:
    """The ratio of prediction-powered sums, and its variance by linearisation."""
    n = sum(part.values for part in parts)
    above, below = (sum(part.share * part.total(column, weight) for part in parts) for column in (0, 1))
    if n == 0 or below <= 0:
        return _Estimate(math.nan, math.nan, math.nan, n, 0)
    mean = above / below
    found = [(part.share**2, *part.variances(mean, weight)) for part in parts]
    own, of_judges = (sum(share * item[place] for share, *item in found) / below**2 for place in (0, 1))
    return _Estimate(mean, own + of_judges, of_judges, n, max(0, n - len(parts)))


def _weight(parts: Sequence[_Part], plain: _Estimate, least: int) -> tuple[float, float]:
    """The weight that makes the variance smallest, and the correlation of human and judged values."""
    used = [part for part in parts if part.m]
    if sum(part.values for part in used) < least:
        return 0.0, math.nan
    line = np.array([1.0, -plain.mean])
    together = apart = shared = of_people = of_judges = 0.0
    for part in used:
        covariance = float(line @ part.spread[:2, 2:] @ line)
        people, judges = (float(line @ part.spread[rows, rows] @ line) for rows in (slice(2), slice(2, 4)))
        further = float(line @ part.further_spread @ line)
        together += part.share**2 * covariance / part.n
        pooled = (part.n * judges + part.m * further) / (part.n + part.m)
        apart += part.share**2 * pooled * (1 / part.n + 1 / part.m)
        shared, of_people = shared + part.n * covariance, of_people + part.n * people
        of_judges += part.n * judges
    if apart <= 0 or of_people <= 0 or of_judges <= 0:
        return 0.0, math.nan
    return min(1.0, max(0.0, together / apart)), shared / math.sqrt(of_people * of_judges)


def _interval(found: _Estimate, level: float, one_sided: bool) -> Interval:
    if found.freedom < 1 or found.n < 2:
        return Interval(found.mean, math.nan, math.nan, found.n, level)
    reach = float(stdtrit(found.freedom, level if one_sided else (1 + level) / 2)) * math.sqrt(found.variance)
    return Interval(found.mean, found.mean - reach, found.mean + reach, found.n, level)
