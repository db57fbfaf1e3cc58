"""Tests of whether all queries together have moved: four ways to look, one answer each.

A query is the unit of every test: the pairs of a query hang together, and counting them as if they did not
would raise false alarms. Which way sees what is compared in Rabanser, Guennemann and Lipton, "Failing Loudly"
(NeurIPS 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy.stats import ks_2samp, mannwhitneyu
from sklearn.linear_model import LogisticRegression

from serm.core.settings_miner import DriftTestName
from serm.relevance_model.base import FloatArray
from serm.tools.corrections import holm
from serm.tools.drift import MAX_SAMPLE, PERMUTATIONS, drawn, mmd_test
from serm.tools.exposure import thinned
from serm.tools.query_sample import Outputs, QuerySample

LEAST: Final = 8
"""Queries a side under which the classifier has nothing to learn from, and KS can see nothing; chosen."""
_EXACT: Final = 100
"""Rows of the smaller side up to which KS' p-values are exact: asymptotic ones are too small there."""
LEVEL: Final = 0.05
"""At which a test has to be able to raise an alarm, where none is named."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What one test found. `effect` is in the unit that `measure` names."""

    test: DriftTestName
    p_value: float
    effect: float
    measure: str


def ks_shift(reference: FloatArray, current: FloatArray) -> tuple[float, float, int]:
    """Kolmogorov and Smirnov's test of each column of (m, d) and (n, d), corrected by Holm.

    Returns the least corrected p-value, the widest gap of two distribution functions (0 to 1), and in how
    many columns p is at most .05.
    """
    few = min(len(reference), len(current)) <= _EXACT
    found = ks_2samp(reference, current, axis=0, method="exact" if few else "asymp")
    corrected = holm(np.atleast_1d(np.asarray(found.pvalue, dtype=np.float64)))
    return float(corrected.min()), float(np.max(found.statistic)), int((corrected <= 0.05).sum())


def classifier_auc(reference: FloatArray, current: FloatArray, seed: int) -> tuple[float, float]:
    """Classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017) by a logistic regression.

    It learns on a random half of either side, (m, d) and (n, d), and ranks the rest: the p-value is Mann and
    Whitney's of that ranking, one-sided, and the effect its area under the ROC curve, .5 by chance. Of texts
    that recur all copies are of one half: learnt as an earlier query, a current one would rank as that.
    """
    rng = np.random.default_rng([seed, 2])
    halves = _by_text(reference, current, rng) or [
        np.array_split(side[rng.permutation(len(side))], 2) for side in (reference, current)
    ]
    learnt = np.concatenate([halves[0][0], halves[1][0]])
    side = np.repeat([0, 1], [len(halves[0][0]), len(halves[1][0])])
    model = LogisticRegression(class_weight="balanced", max_iter=200).fit(learnt, side)
    before, now = (model.decision_function(half[1]) for half in halves)
    found = mannwhitneyu(now, before, alternative="greater")
    return float(found.pvalue), float(found.statistic / (len(now) * len(before)))


def _by_text(reference: FloatArray, current: FloatArray, rng: np.random.Generator) -> list[list[FloatArray]]:
    """Both sides in halves that have no row in common; empty where no row recurs, or a half would be."""
    text = np.unique(np.concatenate([reference, current]), axis=0, return_inverse=True)[1]
    count = int(text.max()) + 1
    if count == len(text):
        return []
    first = np.zeros(count, dtype=bool)
    first[rng.permutation(count)[: count // 2]] = True
    masks = (first[text[: len(reference)]], first[text[len(reference) :]])
    if any(mask.all() or not mask.any() for mask in masks):
        return []
    return [[side[mask], side[~mask]] for side, mask in zip((reference, current), masks, strict=True)]


def _mmd(reference: QuerySample, current: QuerySample, seed: int, level: float = LEVEL) -> Shift:
    # The least p-value there can be is 1 / (1 + permutations): half of the level, or less.
    permutations = max(PERMUTATIONS, math.ceil(2 / level) - 1)
    found = mmd_test(reference.embeddings, current.embeddings, seed=seed, permutations=permutations)
    return Shift("mmd", found.p_value, found.effect, f"MMD, {found.z:.1f} deviations above chance")


def _ks(reference: QuerySample, current: QuerySample, seed: int, level: float = LEVEL) -> Shift:  # noqa: ARG001
    if min(len(reference), len(current)) < LEAST:
        return Shift("ks", 1.0, 0.0, "not tried: too few queries")
    left, right = _some(reference.embeddings, current.embeddings, seed)
    p_value, effect, moved = ks_shift(left, right)
    return Shift("ks", p_value, effect, f"widest gap of one dimension; {moved} of {left.shape[1]} moved")


def _classifier(reference: QuerySample, current: QuerySample, seed: int, level: float = LEVEL) -> Shift:  # noqa: ARG001
    if min(len(reference), len(current)) < LEAST:
        return Shift("classifier", 1.0, 0.5, "not tried: too few queries")
    p_value, area = classifier_auc(*_some(reference.embeddings, current.embeddings, seed), seed)
    return Shift("classifier", p_value, area, "area under the ROC curve, .5 by chance")


def _outputs(reference: QuerySample, current: QuerySample, seed: int, level: float = LEVEL) -> Shift:  # noqa: ARG001
    """Black-box shift detection (Lipton, Wang and Smola, ICML 2018): the model's own grade distributions."""
    if reference.outputs is None or current.outputs is None:
        return Shift("outputs", 1.0, 0.0, "not tried: there are no scores of earlier pairs")
    before, now = _alike(reference.outputs(), current.outputs(), seed)
    if min(len(before), len(now)) < LEAST:
        return Shift("outputs", 1.0, 0.0, "not tried: too few queries")
    p_value = ks_shift(before, now)[0]
    distance = 0.5 * float(np.abs(now.mean(axis=0) - before.mean(axis=0)).sum())
    return Shift("outputs", p_value, distance, "total variation between the mean grade distributions")


class Test(Protocol):
    def __call__(
        self, reference: QuerySample, current: QuerySample, seed: int, level: float = LEVEL
    ) -> Shift: ...


TESTS: Final[Mapping[DriftTestName, Test]] = {
    "mmd": _mmd,
    "ks": _ks,
    "classifier": _classifier,
    "outputs": _outputs,
}
"""Each takes the earlier queries, the current ones, a seed, and the level at which an alarm must be possible;
both sides have two queries at least."""


def _alike(before: Outputs, now: Outputs, seed: int) -> tuple[FloatArray, FloatArray]:
    """Of as many requests each: the last window need not be a stretch that queries are held against."""
    if before.times is None or now.times is None:
        return before.distributions, now.distributions
    requests = float(min(before.times.sum(), now.times.sum()))
    kept = (thinned(side.times, requests, seed=[seed, 7, n]) for n, side in enumerate((before, now)))
    sides = (before.distributions, now.distributions)
    left, right = (side if rows is None else side[rows] for side, rows in zip(sides, kept, strict=True))
    return left, right


def _some(reference: FloatArray, current: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng([seed, 1])
    return drawn(reference, MAX_SAMPLE, rng), drawn(current, MAX_SAMPLE, rng)
